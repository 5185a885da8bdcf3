# PSPNet-R18 taught by PSPNet-R101 on CamVid: channel-wise (Shu et al. 2021), on the class logits. No published number
# for CamVid.
_base_ = [
    '../../pspnet/pspnet_r18_40k_camvid-480x360.py',
    '../../_base_/kd/teachers.py',
    '../../_base_/kd/channel_wise.py',
]

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher={{_base_.teachers.pspnet_r101_camvid}},
    distill=dict(cwd={{_base_.channel_wise.decode_head}}),
)
