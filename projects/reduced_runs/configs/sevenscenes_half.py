# VNL with half of MobileNetV2's channels, from random weights, without a teacher.
_base_ = ['mmkd::_base_/models/vnl_mobilenetv2.py', './_base_/sevenscenes_160x120.py']

model = dict(
    data_preprocessor=dict(size={{_base_.crop_size}}),
    backbone=dict(widen_factor=0.5),
    decode_head=dict(
        in_channels=[16, 16, 48, 160],
        channels=32,
        bins=dict(number=64, min_depth=0.3, max_depth=8.0),
        loss_normal=dict(num_triples=2000, min_distance=0.3),
    ),
)
