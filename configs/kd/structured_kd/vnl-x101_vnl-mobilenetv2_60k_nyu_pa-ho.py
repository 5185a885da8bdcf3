# VNL-MobileNetV2 taught by VNL-ResNeXt-101 on NYUv2: pair-wise, and holistic on the bins of depth. Published: relative
# error 0.130, alone 0.135 (Liu et al. 2020).
_base_ = [
    '../../vnl/vnl_mobilenetv2_60k_nyu-385x385.py',
    '../../_base_/kd/teachers.py',
    '../../_base_/kd/pair_wise.py',
    '../../_base_/kd/holistic.py',
]

model = dict(
    _delete_=True,
    type='mmkd.AdversarialDistill',
    student={{_base_.model}},
    teacher={{_base_.teachers.vnl_x101_nyu}},
    distill=dict(pa={{_base_.pair_wise.vnl}}),
    holistic={{_base_.holistic.decode_head}},
)
optim_wrapper = {{_base_.discriminator_optim}}
