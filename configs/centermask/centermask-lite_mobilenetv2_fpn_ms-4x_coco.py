# CenterMask-Lite, MobileNetV2.
_base_ = [
    '../_base_/models/centermask-lite_fpn.py',
    '../_base_/datasets/coco_instance_600.py',
    '../_base_/schedules/iter_4x.py',
    '../_base_/det_runtime.py',
]

# ImageNet weights of the original, see README.md. The environment variable MMKD_PRETRAINED names another folder.
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmkd.MobileNetV2',
        out_indices=(2, 4, 6),
        norm_cfg=dict(type='BN', requires_grad=False),
        norm_eval=True,
        init_cfg=dict(type='Pretrained', checkpoint='{{$MMKD_PRETRAINED:checkpoints}}/mobilenet_v2_detectron2.pth'),
    ),
    neck=dict(in_channels=[32, 96, 320]),
)
