# DeepLabV3+ with MobileNetV2 on VOC 2012, without a teacher.
_base_ = ['../_base_/models/deeplabv3plus_mobilenetv2.py', '../_base_/settings/voc2012_120e.py']

# ImageNet weights, see README.md. The environment variable MMKD_PRETRAINED names another folder.
model = dict(
    data_preprocessor=dict(size={{_base_.crop_size}}),
    backbone=dict(
        init_cfg=dict(type='Pretrained', checkpoint='{{$MMKD_PRETRAINED:checkpoints}}/mobilenet_v2_torchvision.pth')
    ),
)
