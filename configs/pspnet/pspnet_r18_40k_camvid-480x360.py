# PSPNet with ResNet-18 on CamVid, without a teacher.
_base_ = ['../_base_/models/pspnet_r18-d8.py', '../_base_/settings/camvid_40k.py']

# ImageNet weights, see README.md. The environment variable MMKD_PRETRAINED names another folder.
model = dict(
    data_preprocessor=dict(size={{_base_.crop_size}}),
    backbone=dict(
        ceil_mode=False,  # 45 x 60 at 1/8 of the size, as in ESPNet and MobileNetV2
        init_cfg=dict(type='Pretrained', checkpoint='{{$MMKD_PRETRAINED:checkpoints}}/resnet18_deep_stem.pth'),
    ),
    decode_head=dict(num_classes=11),
    auxiliary_head=dict(num_classes=11),
)
