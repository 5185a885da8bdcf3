# DeepLabV3+ with MobileNetV2 from its ImageNet weights: the teacher of the reduced runs on VOC 2012. Half as wide within.
_base_ = ['../_base_/models/deeplabv3plus_mobilenetv2.py', './voc2012.py']

# ImageNet weights, see ../deeplabv3plus_kd/README.md. The environment variable MMKD_PRETRAINED names another folder.
model = dict(
    data_preprocessor=dict(size={{_base_.crop_size}}),
    backbone=dict(
        init_cfg=dict(type='Pretrained', checkpoint='{{$MMKD_PRETRAINED:checkpoints}}/mobilenet_v2_torchvision.pth'),
    ),
    decode_head=dict(channels=128, loss_decode=dict(loss_weight=1.0)),
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=0.2)}))
