# CenterMask-Lite, MobileNetV2.
_base_ = './centermask-lite_v19_fpn_ms-4x_coco.py'

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
