# Virtual normal learning on NYUv2, MobileNetV2: the student.
_base_ = ['../_base_/models/vnl_mobilenetv2.py', '../_base_/settings/nyu_60k.py']

# ImageNet weights, see README.md. The environment variable MMKD_PRETRAINED names another folder.
model = dict(
    data_preprocessor=dict(size={{_base_.crop_size}}),
    backbone=dict(
        init_cfg=dict(type='Pretrained', checkpoint='{{$MMKD_PRETRAINED:checkpoints}}/mobilenet_v2_mmdet.pth')
    ),
)
