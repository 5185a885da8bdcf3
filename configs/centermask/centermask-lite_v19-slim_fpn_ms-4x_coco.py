# CenterMask-Lite, VoVNetV2-19-slim (narrower stages).
_base_ = [
    '../_base_/models/centermask-lite_fpn.py',
    '../_base_/datasets/coco_instance_600.py',
    '../_base_/schedules/iter_4x.py',
    '../_base_/det_runtime.py',
]

# ImageNet weights of the original, see README.md. The environment variable MMKD_PRETRAINED names another folder.
model = dict(
    backbone=dict(
        arch='V-19-slim-eSE',
        init_cfg=dict(
            type='Pretrained', checkpoint='{{$MMKD_PRETRAINED:checkpoints}}/vovnet19_ese_slim_detectron2.pth'
        ),
    ),
    neck=dict(in_channels=[256, 384, 512]),
)
