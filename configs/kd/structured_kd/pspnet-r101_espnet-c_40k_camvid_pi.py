# ESPNet-C taught by PSPNet-R101 on CamVid: pixel-wise. Published: 58.7 mIoU on test, alone 56.7 (Liu et al. 2019).
_base_ = [
    '../../espnet/espnet-c_40k_camvid-480x360.py',
    '../../_base_/kd/teachers.py',
    '../../_base_/kd/pixel_wise.py',
]

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher={{_base_.teachers.pspnet_r101_camvid}},
    distill=dict(pi={{_base_.pixel_wise.espnet}}),
)
