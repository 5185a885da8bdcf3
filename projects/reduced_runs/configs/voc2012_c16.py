# DeepLabV3+ with MobileNetV2 from its ImageNet weights and a head of 16 channels on VOC 2012, without a teacher.
_base_ = ['mmkd::_base_/models/deeplabv3plus_mobilenetv2.py', './_base_/voc2012_129x129.py']

# ImageNet weights, see configs/deeplabv3plus/README.md. The environment variable MMKD_PRETRAINED names another folder.
# The backbone computes what they were trained for, its norms stay as they are, and so do the layers up to stride 16,
# which take most of the time. The full recipe's dropout is for a schedule a hundred times as long.
model = dict(
    data_preprocessor=dict(size={{_base_.crop_size}}),
    backbone=dict(
        type='mmkd.DilatedMobileNetV2',
        dilations=(1, 1, 1, 1, 1, 2, 2),
        norm_eval=True,
        frozen_stages=4,
        init_cfg=dict(type='Pretrained', checkpoint='{{$MMKD_PRETRAINED:checkpoints}}/mobilenet_v2_torchvision.pth'),
    ),
    decode_head=dict(
        channels=16,
        aspp_dropout_ratio=0.0,
        decoder_dropout_ratio=0.1,
        dropout_ratio=0.0,
        loss_decode=dict(loss_weight=1.0),
    ),
)
# a narrow head bears a higher rate; the backbone's is 1e-4
optim_wrapper = dict(optimizer=dict(lr=3e-3), paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=1 / 30)}))
