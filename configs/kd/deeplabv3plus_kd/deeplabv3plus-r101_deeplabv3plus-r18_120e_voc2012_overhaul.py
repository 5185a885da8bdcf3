# DeepLabV3+-R18 taught by DeepLabV3+-R101 on VOC 2012: overhaul, on six maps before their ReLUs. Published: 73.98 mIoU
# with SBD, alone 72.07 (the overhaul code that Mansurian et al. began with).
_base_ = [
    '../../deeplabv3plus/deeplabv3plus_r18_120e_voc2012-513x513.py',
    '../../_base_/kd/teachers.py',
    '../../_base_/kd/overhaul.py',
]

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher={{_base_.teachers.deeplabv3plus_r101_voc2012}},
    distill={{_base_.overhaul.r18}},
)
