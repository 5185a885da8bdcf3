# DeepLabV3+-MobileNetV2 taught by DeepLabV3+-R101 on VOC 2012: overhaul, on six maps before their ReLUs. Published:
# 71.19 mIoU with SBD, alone 68.46 (the overhaul code that Mansurian et al. began with).
_base_ = [
    '../../deeplabv3plus/deeplabv3plus_mobilenetv2_120e_voc2012-513x513.py',
    '../../_base_/kd/teachers.py',
    '../../_base_/kd/overhaul.py',
]

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher={{_base_.teachers.deeplabv3plus_r101_voc2012}},
    distill={{_base_.overhaul.mobilenetv2}},
)
