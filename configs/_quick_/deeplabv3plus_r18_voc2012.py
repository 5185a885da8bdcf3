# DeepLabV3+-R18 with half the channels on VOC 2012, from random weights, without a teacher.
_base_ = ['../_base_/models/deeplabv3plus_r18.py', './voc2012.py']

model = dict(
    data_preprocessor=dict(size={{_base_.crop_size}}),
    backbone=dict(base_channels=32, stem_channels=32),
    decode_head=dict(in_channels=256, c1_in_channels=32, channels=128, loss_decode=dict(loss_weight=1.0)),
)
