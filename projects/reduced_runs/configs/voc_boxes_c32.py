# FCOS-MobileNetV2 with 32 channels and one convolution in each tower on boxes of VOC 2012, without a teacher.
_base_ = ['mmkd::_base_/models/fcos_mobilenetv2-c128.py', './_base_/voc_boxes_144.py']

# The ranges of the levels are half as large, as the images are smaller. Batches are small: the norms stay as ImageNet
# left them.
model = dict(
    backbone=dict(
        norm_eval=True,
        init_cfg=dict(type='Pretrained', checkpoint='{{$MMKD_PRETRAINED:checkpoints}}/mobilenet_v2_mmdet.pth'),
    ),
    neck=dict(out_channels=32),
    bbox_head=dict(
        num_classes=20,
        in_channels=32,
        feat_channels=32,
        stacked_convs=1,
        norm_cfg=dict(type='GN', num_groups=8, requires_grad=True),
        regress_ranges=((-1, 32), (32, 64), (64, 128), (128, 256), (256, 1e8)),
    ),
)
