# Virtual normal learning with MobileNetV2 and a narrower pyramid.
_base_ = './vnl_x101.py'

model = dict(
    backbone=dict(
        _delete_=True, type='mmkd.MobileNetV2', out_indices=(1, 2, 4, 6), norm_cfg=dict(type='BN', requires_grad=True)
    ),
    decode_head=dict(in_channels=[24, 32, 96, 320], channels=128),
)
