# CenterMask with VoVNetV2 as in centermask2: FCOS on P3 to P7, masks of 28 x 28 from P3 to P5, mask scores.
_base_ = './detector.py'

num_classes = 80
model = dict(
    type='mmkd.CenterMask',
    data_preprocessor=dict(pad_mask=True),
    # Every convolution trains, every batch norm is frozen.
    backbone=dict(
        type='mmkd.VoVNet',
        arch='V-39-eSE',
        out_indices=(1, 2, 3),
        frozen_stages=-1,
        norm_cfg=dict(type='BN', requires_grad=False),
        norm_eval=True,
    ),
    neck=dict(
        type='FPN',
        in_channels=[512, 768, 1024],
        out_channels=256,
        start_level=0,
        add_extra_convs='on_output',
        num_outs=5,
        relu_before_extra_convs=True,
        init_cfg=dict(type='Caffe2Xavier', layer='Conv2d'),
    ),
    bbox_head=dict(
        type='mmkd.CenterMaskFCOSHead',
        num_classes=num_classes,
        in_channels=256,
        feat_channels=256,
        stacked_convs=4,
        strides=[8, 16, 32, 64, 128],
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type='mmkd.LTRBIoULoss', mode='giou', loss_weight=1.0),
        loss_centerness=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0),
    ),
    roi_head=dict(
        type='mmkd.CenterMaskRoIHead',
        mask_roi_extractor=dict(
            type='mmkd.AdaptiveRoIExtractor',
            assign='ratio',
            roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0, aligned=True),
            out_channels=256,
            featmap_strides=[8, 16, 32],
        ),
        mask_head=dict(
            type='mmkd.SpatialAttentionMaskHead',
            num_convs=4,
            in_channels=256,
            conv_out_channels=256,
            num_classes=num_classes,
            loss_mask=dict(type='CrossEntropyLoss', use_mask=True, loss_weight=1.0),
        ),
        mask_iou_head=dict(
            type='mmkd.CenterMaskIoUHead',
            num_convs=4,
            num_fcs=2,
            roi_feat_size=14,
            in_channels=256,
            conv_out_channels=256,
            fc_out_channels=1024,
            num_classes=num_classes,
            loss_iou=dict(type='MSELoss', loss_weight=0.5),
        ),
    ),
    train_cfg=dict(
        rpn_proposal=dict(
            score_thr=0.05, nms_pre=1000, min_bbox_size=-1, nms=dict(type='nms', iou_threshold=0.6), max_per_img=100
        ),
        rcnn=dict(
            assigner=dict(
                type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5, match_low_quality=False
            ),
            sampler=dict(type='RandomSampler', num=512, pos_fraction=0.25, neg_pos_ub=-1, add_gt_as_proposals=True),
            mask_size=28,
        ),
    ),
    test_cfg=dict(
        bbox=dict(
            score_thr=0.05, nms_pre=1000, min_bbox_size=-1, nms=dict(type='nms', iou_threshold=0.6), max_per_img=50
        ),
        rcnn=dict(mask_thr_binary=0.5),
    ),
)
