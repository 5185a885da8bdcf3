# CenterMask with point representation (Wang et al., CVPR 2020) on DLA-34, its neck with deformable convolution.
_base_ = './detector.py'

num_classes = 80

model = dict(
    type='mmkd.PointCenterMask',
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
    backbone=dict(type='mmkd.DLA', depth=34, out_indices=(2, 3, 4, 5)),
    neck=dict(type='mmkd.DLANeck', in_channels=(64, 128, 256, 512), conv_cfg=dict(type='DCNv2', deform_groups=1)),
    bbox_head=dict(
        type='mmkd.PointCenterMaskHead',
        num_classes=num_classes,
        in_channels=64,
        feat_channels=256,
        shape_size=32,
        saliency='class_specific',
        loss_heatmap=dict(type='mmkd.CenterFocalLoss', alpha=2.0, beta=4.0, loss_weight=1.0),
        loss_offset=dict(type='L1Loss', loss_weight=1.0),
        loss_size=dict(type='L1Loss', loss_weight=0.1),
        loss_mask=dict(type='mmkd.ProductMaskLoss', loss_weight=1.0),
    ),
    test_cfg=dict(max_per_img=100, score_thr=0.01, mask_thr=0.4, local_maximum_kernel=3, flip_test=False),
)
