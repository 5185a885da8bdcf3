# FCOS-MobileNetV2-C128 on boxes of VOC 2012: the teacher of the reduced runs of detection.
_base_ = ['../_base_/models/fcos_mobilenetv2-c128.py', './voc_boxes.py']

# The ranges of the levels are half as large, as the images are smaller. Batches are small: the norms stay as ImageNet left
# them, and so do the first three layers, which take most of the time.
model = dict(
    backbone=dict(
        norm_eval=True,
        frozen_stages=3,
        init_cfg=dict(type='Pretrained', checkpoint='{{$MMKD_PRETRAINED:checkpoints}}/mobilenet_v2_mmdet.pth'),
    ),
    bbox_head=dict(
        num_classes=20, stacked_convs=2, regress_ranges=((-1, 32), (32, 64), (64, 128), (128, 256), (256, 1e8))
    ),
)
max_iters = 2000
train_cfg = dict(max_iters=max_iters)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='PolyLR', power=0.9, eta_min=0.0, begin=50, end=max_iters, by_epoch=False),
]
