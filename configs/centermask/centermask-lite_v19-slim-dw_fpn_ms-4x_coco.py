# CenterMask-Lite, VoVNetV2-19-slim-dw (narrower stages, depthwise layers).
_base_ = './centermask-lite_v19-slim_fpn_ms-4x_coco.py'

model = dict(
    backbone=dict(
        arch='V-19-slim-dw-eSE',
        init_cfg=dict(checkpoint='{{$MMKD_PRETRAINED:checkpoints}}/vovnet19_ese_slim_dw_detectron2.pth'),
    ),
)
