# PSPNet-R18 taught by PSPNet-R101 on CamVid: pixel-wise, pair-wise and holistic, with the settings of Cityscapes. No
# published number.
_base_ = [
    '../../pspnet/pspnet_r18_40k_camvid-480x360.py',
    '../../_base_/kd/teachers.py',
    '../../_base_/kd/pixel_wise.py',
    '../../_base_/kd/pair_wise.py',
    '../../_base_/kd/holistic.py',
]

model = dict(
    _delete_=True,
    type='mmkd.AdversarialDistill',
    student={{_base_.model}},
    teacher={{_base_.teachers.pspnet_r101_camvid}},
    distill=dict(pi={{_base_.pixel_wise.pspnet}}, pa={{_base_.pair_wise.pspnet}}),
    holistic={{_base_.holistic.decode_head}},
)
optim_wrapper = {{_base_.discriminator_optim}}
