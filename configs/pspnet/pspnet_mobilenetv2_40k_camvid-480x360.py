# PSPNet with MobileNetV2 on CamVid, without a teacher.
_base_ = ['../_base_/models/pspnet_mobilenetv2-d8.py', '../_base_/settings/camvid_40k.py']

# ImageNet weights, see README.md. The environment variable MMKD_PRETRAINED names another folder.
model = dict(
    data_preprocessor=dict(size={{_base_.crop_size}}),
    backbone=dict(
        init_cfg=dict(type='Pretrained', checkpoint='{{$MMKD_PRETRAINED:checkpoints}}/mobilenet_v2_torchvision.pth'),
    ),
    decode_head=dict(num_classes=11),
    auxiliary_head=dict(num_classes=11),
)
