# PSPNet with MobileNetV2, output stride 8, and the heads of the ResNet-18 student. RGB, normalised for ImageNet.
_base_ = './pspnet_r101-d8.py'

model = dict(
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
    backbone=dict(
        _delete_=True,
        type='mmkd.DilatedMobileNetV2',
        out_indices=(1, 2, 4, 6),
        norm_cfg=dict(type='BN', requires_grad=True),
    ),
    decode_head=dict(in_channels=320, channels=128),
    auxiliary_head=dict(in_channels=96, channels=128),
)
