# The student of the demo: VoVNetV2-19-slim-dw up to its stage 4, a quarter of the channels of the Lite models.
_base_ = ['../_base_/models/centermask-lite_fpn.py', './nuclei.py']

num_classes = 1
channels = 32
# Nuclei are small: the pyramid begins at stride 4, not 8, and most of them are found on its first level.
strides = [4, 8, 16, 32, 64]
# No ImageNet weights: in contrast to the COCO configs batch norm has to learn, and there is a norm wherever it helps.
head_norm = dict(type='GN', num_groups=8, requires_grad=True)
max_iters = 400
model = dict(
    data_preprocessor=dict(std=[58.0, 57.0, 57.0]),
    backbone=dict(
        arch='V-19-slim-dw-eSE',
        out_indices=(0, 1, 2),
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=False,
    ),
    neck=dict(in_channels=[112, 256, 384], out_channels=channels, norm_cfg=head_norm),
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
optim_wrapper = dict(optimizer=dict(lr=4e-3))  # of 1e-3 to 8e-3 the best: docs/results/nuclei_demo.md
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=20, end=max_iters, T_max=max_iters - 20, eta_min=1e-5),
]
