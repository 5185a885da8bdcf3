# DeepLabV3+ with MobileNetV2, output stride 16: a student of DeepLabV3+-KD. The authors' blocks pad their input, which
# mmkd.BlockPaddedMobileNetV2 does; ImageNet weights are for blocks as here.
_base_ = './deeplabv3plus_r101.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmseg.MobileNetV2',
        strides=(1, 2, 2, 2, 1, 1, 1),
        dilations=(1, 1, 1, 1, 1, 1, 2),
        out_indices=(1, 2, 4, 6),
        norm_cfg=dict(type='BN', requires_grad=True),
    ),
    decode_head=dict(in_channels=320, c1_in_channels=24),
)
