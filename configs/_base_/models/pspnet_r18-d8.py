# PSPNet with ResNet-18: the student of structured knowledge distillation, with a quarter of the teacher's channels.
_base_ = './pspnet_r101-d8.py'

model = dict(
    backbone=dict(depth=18),
    decode_head=dict(in_channels=512, channels=128),
    auxiliary_head=dict(in_channels=256, channels=128),
)
