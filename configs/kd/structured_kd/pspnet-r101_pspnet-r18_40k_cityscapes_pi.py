# PSPNet-R18 taught by PSPNet-R101 on Cityscapes: pixel-wise. Published: 70.51 mIoU on val, alone 69.10 (Liu et al.
# 2019).
_base_ = [
    '../../pspnet/pspnet_r18_40k_cityscapes-512x512.py',
    '../../_base_/kd/teachers.py',
    '../../_base_/kd/pixel_wise.py',
]

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher={{_base_.teachers.pspnet_r101_cityscapes}},
    distill=dict(pi={{_base_.pixel_wise.pspnet}}),
)
