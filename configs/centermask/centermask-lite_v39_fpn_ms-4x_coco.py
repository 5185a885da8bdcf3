# CenterMask-Lite, VoVNetV2-39.
_base_ = [
    '../_base_/models/centermask-lite_fpn.py',
    '../_base_/datasets/coco_instance_600.py',
    '../_base_/schedules/iter_4x.py',
    '../_base_/det_runtime.py',
]

# ImageNet weights of the original, see README.md. The environment variable MMKD_PRETRAINED names another folder.
model = dict(
    backbone=dict(
        arch='V-39-eSE',
        init_cfg=dict(type='Pretrained', checkpoint='{{$MMKD_PRETRAINED:checkpoints}}/vovnet39_ese_detectron2.pth'),
    )
)
