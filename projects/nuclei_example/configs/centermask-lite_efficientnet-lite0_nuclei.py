# The student of the demo: EfficientNet-Lite0 up to stride 16, from ImageNet, a quarter of the channels of the Lite
# models.
_base_ = ['mmkd::_base_/models/centermask-lite_fpn.py', './_base_/nuclei.py']

num_classes = 1
channels = 32
# Nuclei are small: the pyramid begins at stride 4, not 8, and most of them are found on its first level.
strides = [4, 8, 16, 32, 64]
# In contrast to the COCO configs batch norm learns, and there is a norm wherever it helps.
head_norm = dict(type='GN', num_groups=8, requires_grad=True)
max_iters = 400
model = dict(
    data_preprocessor=dict(mean=[127.0, 127.0, 127.0], std=[128.0, 128.0, 128.0], bgr_to_rgb=True),
    backbone=dict(
        _delete_=True,
        type='mmkd.EfficientNetLite',
        arch='lite0',
        out_indices=(2, 3, 4),
        ckpt='{{ fileDirname }}/../teacher/efficientnet-lite0_stride16_imagenet.pth',
    ),
    neck=dict(in_channels=[24, 40, 112], out_channels=channels, norm_cfg=head_norm),
    bbox_head=dict(
        num_classes=num_classes,
        in_channels=channels,
        feat_channels=channels,
        norm_cfg=head_norm,
        strides=strides,
        regress_ranges=((-1, 32), (32, 64), (64, 128), (128, 256), (256, 1e8)),
    ),
    roi_head=dict(
        mask_roi_extractor=dict(out_channels=channels, featmap_strides=strides[:3]),
        mask_head=dict(num_classes=num_classes, in_channels=channels, conv_out_channels=channels, norm_cfg=head_norm),
        mask_iou_head=dict(
            num_classes=num_classes, in_channels=channels, conv_out_channels=channels, fc_out_channels=64
        ),
    ),
    # Up to 12 masks an image are learned from at a step, which is what two CPU cores can do.
    train_cfg=dict(rcnn=dict(sampler=dict(num=12, pos_fraction=1.0))),
    # the crowded images of DSB 2018 have up to 375 nuclei
    test_cfg=dict(bbox=dict(max_per_img=300)),
)
# the best of 2e-3, 4e-3, 8e-3 for the student alone: docs/results/nuclei_demo.md
optim_wrapper = dict(optimizer=dict(lr=4e-3))
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=20, end=max_iters, T_max=max_iters - 20, eta_min=1e-5),
]
