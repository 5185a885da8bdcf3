# PSPNet with MobileNetV2 from its ImageNet weights: the teacher of the reduced runs on CamVid.
_base_ = ['../_base_/models/pspnet_mobilenetv2-d8.py', './camvid.py']

# ImageNet weights, see ../pspnet/README.md. The environment variable MMKD_PRETRAINED names another folder.
model = dict(
    data_preprocessor=dict(size={{_base_.crop_size}}),
    backbone=dict(
        init_cfg=dict(type='Pretrained', checkpoint='{{$MMKD_PRETRAINED:checkpoints}}/mobilenet_v2_torchvision.pth'),
    ),
    decode_head=dict(num_classes=11),
    auxiliary_head=dict(num_classes=11),
)
max_iters = 600
train_cfg = dict(max_iters=max_iters, val_interval=200)
optim_wrapper = dict(optimizer=dict(lr=5e-4))
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=0.0, begin=0, end=max_iters, by_epoch=False)]
default_hooks = dict(checkpoint=dict(interval=200))
