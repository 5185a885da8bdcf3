# DeepLabV3+-MobileNetV2 taught by DeepLabV3+-R101 on VOC 2012: pixel-wise, on the decoder's last map. Published: 64.48
# mIoU on val, alone 62.92 (Mansurian et al.).
_base_ = [
    '../../deeplabv3plus/deeplabv3plus_mobilenetv2_120e_voc2012-513x513.py',
    '../../_base_/kd/teachers.py',
    '../../_base_/kd/attention_transfer.py',
]

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher={{_base_.teachers.deeplabv3plus_r101_voc2012}},
    distill=dict(pi={{_base_.attention_transfer.deeplabv3plus}}),
)
