# CenterMask-Lite, VoVNetV2-19-dw (depthwise layers). There is no published detector of this size.
_base_ = './centermask-lite_v19_fpn_ms-4x_coco.py'

model = dict(
    backbone=dict(
        arch='V-19-dw-eSE',
        init_cfg=dict(checkpoint='{{$MMKD_PRETRAINED:checkpoints}}/vovnet19_ese_dw_detectron2.pth'),
    ),
)
