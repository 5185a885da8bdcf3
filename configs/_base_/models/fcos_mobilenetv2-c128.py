# FCOS with MobileNetV2 and 128 channels in the pyramid and the towers. RGB, normalised for torchvision's ImageNet weights.
_base_ = './fcos_x101.py'

# Every batch norm of the backbone trains; the configs synchronise them over the GPUs (sync_bn).
model = dict(
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
    backbone=dict(
        _delete_=True,
        type='mmkd.MobileNetV2',
        out_indices=(1, 2, 4, 6),
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=False,
    ),
    neck=dict(in_channels=[24, 32, 96, 320], out_channels=128),
    bbox_head=dict(in_channels=128, feat_channels=128),
)
