# CenterMask, VoVNetV2-39.
_base_ = './centermask_v19_fpn_ms-3x_coco.py'

model = dict(
    backbone=dict(
        arch='V-39-eSE',
        init_cfg=dict(checkpoint='{{$MMKD_PRETRAINED:checkpoints}}/vovnet39_ese_detectron2.pth'),
    ),
)
