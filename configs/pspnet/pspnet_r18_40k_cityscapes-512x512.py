# PSPNet with ResNet-18 on Cityscapes, without a teacher.
_base_ = ['../_base_/models/pspnet_r18-d8.py', '../_base_/settings/cityscapes_40k.py']

# ImageNet weights, see README.md. The environment variable MMKD_PRETRAINED names another folder.
model = dict(
    data_preprocessor=dict(size={{_base_.crop_size}}),
    backbone=dict(
        init_cfg=dict(type='Pretrained', checkpoint='{{$MMKD_PRETRAINED:checkpoints}}/resnet18_deep_stem.pth')
    ),
)
