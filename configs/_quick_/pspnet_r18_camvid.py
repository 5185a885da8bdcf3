# PSPNet-R18 on CamVid from random weights, without a teacher.
_base_ = ['../_base_/models/pspnet_r18-d8.py', './camvid.py']

model = dict(
    data_preprocessor=dict(size={{_base_.crop_size}}),
    backbone=dict(ceil_mode=False),  # maps of 24 x 32, as in ESPNet and MobileNetV2
    decode_head=dict(num_classes=11),
    auxiliary_head=dict(num_classes=11),
)
max_iters = 200
train_cfg = dict(max_iters=max_iters, val_interval=100)
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=0.0, begin=0, end=max_iters, by_epoch=False)]
default_hooks = dict(checkpoint=dict(interval=100))
