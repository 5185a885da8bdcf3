# CenterMask-Lite, VoVNetV2-19-slim (narrower stages).
_base_ = './centermask-lite_v19_fpn_ms-4x_coco.py'

model = dict(
    backbone=dict(
        arch='V-19-slim-eSE',
        init_cfg=dict(checkpoint='{{$MMKD_PRETRAINED:checkpoints}}/vovnet19_ese_slim_detectron2.pth'),
    ),
    neck=dict(in_channels=[256, 384, 512]),
)
