# CenterMask, VoVNetV2-99.
_base_ = './centermask_v19_fpn_ms-3x_coco.py'

model = dict(
    backbone=dict(
        arch='V-99-eSE',
        init_cfg=dict(checkpoint='{{$MMKD_PRETRAINED:checkpoints}}/vovnet99_ese_detectron2.pth'),
    ),
)
