# VNL-MobileNetV2 from its ImageNet weights: the teacher of the reduced runs of depth.
_base_ = ['mmkd::_base_/models/vnl_mobilenetv2.py', './_base_/sevenscenes_160x120.py']

model = dict(
    data_preprocessor=dict(size={{_base_.crop_size}}),
    backbone=dict(
        init_cfg=dict(type='Pretrained', checkpoint='{{$MMKD_PRETRAINED:checkpoints}}/mobilenet_v2_mmdet.pth')
    ),
    decode_head=dict(
        channels=64,
        bins=dict(number=64, min_depth=0.3, max_depth=8.0),
        loss_normal=dict(num_triples=2000, min_distance=0.3),
    ),
)
