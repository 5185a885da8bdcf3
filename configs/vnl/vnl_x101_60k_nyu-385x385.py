# Virtual normal learning on NYUv2, ResNeXt-101: the teacher.
_base_ = ['../_base_/models/vnl_x101.py', '../_base_/settings/nyu_60k.py']

# ImageNet weights.
model = dict(
    data_preprocessor=dict(size={{_base_.crop_size}}),
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='open-mmlab://resnext101_32x4d')),
)
