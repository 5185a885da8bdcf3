# CenterMask, VoVNetV2-19.
_base_ = [
    '../_base_/models/centermask_fpn.py',
    '../_base_/datasets/coco_instance_800.py',
    '../_base_/schedules/iter_3x.py',
    '../_base_/det_runtime.py',
]

# ImageNet weights of the original, see README.md. The environment variable MMKD_PRETRAINED names another folder.
model = dict(
    backbone=dict(
        arch='V-19-eSE',
        init_cfg=dict(type='Pretrained', checkpoint='{{$MMKD_PRETRAINED:checkpoints}}/vovnet19_ese_detectron2.pth'),
    )
)
