# PSPNet-MobileNetV2 taught by PSPNet-R101 on Cityscapes: pixel-wise, pair-wise and holistic. Published, for a larger
# MobileNetV2 student: 74.5 mIoU on val (Liu et al. 2020).
_base_ = [
    '../../pspnet/pspnet_mobilenetv2_40k_cityscapes-512x512.py',
    '../../_base_/kd/teachers.py',
    '../../_base_/kd/pixel_wise.py',
    '../../_base_/kd/pair_wise.py',
    '../../_base_/kd/holistic.py',
]

model = dict(
    _delete_=True,
    type='mmkd.AdversarialDistill',
    student={{_base_.model}},
    teacher={{_base_.teachers.pspnet_r101_cityscapes}},
    distill=dict(pi={{_base_.pixel_wise.pspnet}}, pa={{_base_.pair_wise.pspnet_mobilenetv2}}),
    holistic={{_base_.holistic.decode_head}},
)
optim_wrapper = {{_base_.discriminator_optim}}
