# PSPNet-R18 taught by PSPNet-R101 on CamVid: pixel-wise, of standardised logits (Sun et al. 2024), on the class logits.
# No published number for CamVid.
_base_ = [
    '../../pspnet/pspnet_r18_40k_camvid-480x360.py',
    '../../_base_/kd/teachers.py',
    '../../_base_/kd/logit_standardization.py',
]

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher={{_base_.teachers.pspnet_r101_camvid}},
    distill=dict(pi={{_base_.logit_standardization.decode_head}}),
)
