# FCOS-MobileNetV2-C128 on COCO: pair-wise, pixel-wise and holistic. Published: 34.0 box AP, alone 30.9 (Liu et al.
# 2020).
_base_ = [
    './fcos-x101_fcos-mobilenetv2-c128_1x_coco_pa.py',
    '../../_base_/kd/pixel_wise.py',
    '../../_base_/kd/holistic.py',
]

model = dict(
    type='mmkd.AdversarialDistill',
    distill=dict(pi={{_base_.pixel_wise.dense_head}}),
    holistic={{_base_.holistic.dense_head}},
)
optim_wrapper = {{_base_.discriminator_optim}}
