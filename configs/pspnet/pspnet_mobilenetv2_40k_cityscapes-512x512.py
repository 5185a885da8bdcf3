# PSPNet with MobileNetV2 on Cityscapes, without a teacher.
_base_ = ['../_base_/models/pspnet_mobilenetv2-d8.py', '../_base_/settings/cityscapes_40k.py']

# ImageNet weights, see README.md. The environment variable MMKD_PRETRAINED names another folder.
model = dict(
    data_preprocessor=dict(size={{_base_.crop_size}}),
    backbone=dict(
        init_cfg=dict(type='Pretrained', checkpoint='{{$MMKD_PRETRAINED:checkpoints}}/mobilenet_v2_torchvision.pth')
    ),
)
