# PSPNet-R18 taught by PSPNet-R101 on CamVid: MGD (Yang et al. 2022), on the features after the pyramid. No published
# number for CamVid.
_base_ = [
    '../../pspnet/pspnet_r18_40k_camvid-480x360.py',
    '../../_base_/kd/teachers.py',
    '../../_base_/kd/mgd.py',
]

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher={{_base_.teachers.pspnet_r101_camvid}},
    distill=dict(mgd={{_base_.mgd.pspnet}}),
)
