"""The extractor and the mask head inside of mmdet's own Mask R-CNN."""

import torch
from helpers.roi_head_cases import make_sample
from mmdet.registry import MODELS
from mmengine.config import ConfigDict

CHANNELS = 8


def roi_extractor(size, strides):
    return dict(
        type='mmkd.AdaptiveRoIExtractor',
        roi_layer=dict(type='RoIAlign', output_size=size, sampling_ratio=0),
        out_channels=CHANNELS,
        featmap_strides=strides,
    )


def sampler(num, add_gt):
    return dict(type='RandomSampler', num=num, pos_fraction=0.5, add_gt_as_proposals=add_gt)


def make_mask_rcnn():
    strides = [4, 8, 16, 32]
    assigner = dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5, match_low_quality=True)
    rpn = dict(nms_pre=50, max_per_img=20, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0)
    smooth_l1 = dict(type='SmoothL1Loss', loss_weight=1.0)
    cfg = dict(
        type='MaskRCNN',
        backbone=dict(type='ResNet', depth=18, base_channels=8, norm_eval=True),
        neck=dict(type='FPN', in_channels=[8, 16, 32, 64], out_channels=CHANNELS, num_outs=5),
        rpn_head=dict(
            type='RPNHead',
            in_channels=CHANNELS,
            feat_channels=CHANNELS,
            anchor_generator=dict(type='AnchorGenerator', scales=[8], ratios=[1.0], strides=[*strides, 64]),
            bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
            loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True),
            loss_bbox=smooth_l1,
        ),
        roi_head=dict(
            type='StandardRoIHead',
            bbox_roi_extractor=roi_extractor(7, strides),
            bbox_head=dict(
                type='Shared2FCBBoxHead',
                in_channels=CHANNELS,
                fc_out_channels=16,
                num_classes=3,
                bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
                loss_cls=dict(type='CrossEntropyLoss'),
                loss_bbox=smooth_l1,
            ),
            mask_roi_extractor=roi_extractor(14, strides),
            mask_head=dict(
                type='mmkd.SpatialAttentionMaskHead',
                num_convs=2,
                in_channels=CHANNELS,
                conv_out_channels=CHANNELS,
                num_classes=3,
                attention_kernel_size=7,
            ),
        ),
        train_cfg=dict(
            rpn=dict(assigner=assigner, sampler=sampler(64, False), pos_weight=-1, allowed_border=-1),
            rpn_proposal=rpn,
            rcnn=dict(assigner=assigner, sampler=sampler(32, True), pos_weight=-1, mask_size=28),
        ),
        test_cfg=dict(
            rpn=rpn,
            rcnn=dict(score_thr=0.0, nms=dict(type='nms', iou_threshold=0.5), max_per_img=10, mask_thr_binary=0.5),
        ),
    )
    return MODELS.build(ConfigDict(cfg))


def test_mask_rcnn_trains_and_predicts_with_them():
    torch.manual_seed(0)
    model = make_mask_rcnn()
    model.init_weights()
    images = torch.randn(2, 3, 64, 96)
    size = dict(size=(64, 96), batch_input_shape=(64, 96), pad_shape=(64, 96))
    samples = [make_sample([[4.0, 4, 40, 36]], labels=[2], **size), make_sample([], **size)]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    history = []
    for _ in range(4):
        losses = model.loss(images, samples)
        total, _ = model.parse_losses(losses)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        history.append(losses['loss_mask'].item())
    assert history[-1] < history[0] - 1e-3
    assert model.roi_head.mask_head.spatial_attention.conv.weight.grad.abs().sum() > 0

    model.eval()
    with torch.no_grad():
        results = model.predict(images, samples, rescale=True)
    assert results[0].pred_instances.masks.shape[1:] == (64, 96)
    assert len(results[0].pred_instances.masks) > 0
