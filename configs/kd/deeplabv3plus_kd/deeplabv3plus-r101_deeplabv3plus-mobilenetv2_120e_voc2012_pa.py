# DeepLabV3+-MobileNetV2 taught by DeepLabV3+-R101 on VOC 2012: pair-wise, on the encoder's last map. Published: 63.56
# mIoU on val, alone 62.92 (Mansurian et al.).
_base_ = [
    '../../deeplabv3plus/deeplabv3plus_mobilenetv2_120e_voc2012-513x513.py',
    '../../_base_/kd/teachers.py',
    '../../_base_/kd/pair_wise.py',
]

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher={{_base_.teachers.deeplabv3plus_r101_voc2012}},
    distill=dict(pa={{_base_.pair_wise.deeplabv3plus}}),
)
