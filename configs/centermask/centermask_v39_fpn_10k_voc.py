# CenterMask, VoVNetV2-39, on VOC 2012: a teacher. No published number.
_base_ = './centermask_v19_fpn_10k_voc.py'

model = dict(
    backbone=dict(
        arch='V-39-eSE',
        init_cfg=dict(checkpoint='{{$MMKD_PRETRAINED:checkpoints}}/vovnet39_ese_detectron2.pth'),
    )
)
