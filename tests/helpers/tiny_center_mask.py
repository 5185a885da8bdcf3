"""A CenterMask small enough for unit tests, and batches for it."""

from __future__ import annotations

import copy

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.structures import InstanceData

from mmkd.registry import MODELS

CHANNELS = 8
NMS = dict(type='nms', iou_threshold=0.6)
ROI_EXTRACTOR = dict(
    type='mmkd.AdaptiveRoIExtractor',
    roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0, aligned=True),
    out_channels=CHANNELS,
    featmap_strides=[8, 16, 32],
)
RCNN_TRAIN_CFG = dict(
    assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5, match_low_quality=False),
    sampler=dict(type='RandomSampler', num=512, pos_fraction=0.25, add_gt_as_proposals=True),
    mask_size=28,
)


def tiny_config(num_classes: int = 3, **overrides) -> dict:
    """Config of a CenterMask of some ten thousand parameters with every part of the real one."""
    config = dict(
        type='mmkd.CenterMask',
        data_preprocessor=dict(
            type='mmdet.DetDataPreprocessor',
            mean=[103.53, 116.28, 123.675],
            std=[1.0, 1.0, 1.0],
            bgr_to_rgb=False,
            pad_mask=True,
            pad_size_divisor=32,
        ),
        backbone=dict(type='ResNet', depth=18, base_channels=4, out_indices=(1, 2, 3), norm_eval=True),
        neck=dict(
            type='FPN',
            in_channels=[8, 16, 32],
            out_channels=CHANNELS,
            add_extra_convs='on_output',
            num_outs=5,
            relu_before_extra_convs=True,
        ),
        bbox_head=dict(
            type='mmkd.CenterMaskFCOSHead',
            num_classes=num_classes,
            in_channels=CHANNELS,
            feat_channels=CHANNELS,
            stacked_convs=1,
            norm_cfg=dict(type='GN', num_groups=2),
        ),
        roi_head=dict(
            type='mmkd.CenterMaskRoIHead',
            mask_roi_extractor=ROI_EXTRACTOR,
            mask_head=dict(
                type='mmkd.SpatialAttentionMaskHead',
                num_convs=1,
                in_channels=CHANNELS,
                conv_out_channels=CHANNELS,
                num_classes=num_classes,
            ),
            mask_iou_head=dict(
                type='mmkd.CenterMaskIoUHead',
                num_convs=1,
                num_fcs=1,
                roi_feat_size=14,
                in_channels=CHANNELS,
                conv_out_channels=CHANNELS,
                fc_out_channels=16,
                num_classes=num_classes,
            ),
        ),
        train_cfg=dict(
            rpn_proposal=dict(score_thr=0.05, nms_pre=1000, nms=NMS, max_per_img=100),
            rcnn=RCNN_TRAIN_CFG,
        ),
        test_cfg=dict(
            bbox=dict(score_thr=0.05, nms_pre=1000, min_bbox_size=-1, nms=NMS, max_per_img=50),
            rcnn=dict(mask_thr_binary=0.5),
        ),
    )
    config.update(overrides)
    return copy.deepcopy(config)


def tiny_center_mask(seed: int = 0, chatty: bool = True, **overrides):
    """The detector of :func:`tiny_config`; a ``chatty`` one finds many boxes of several sizes from the start."""
    torch.manual_seed(seed)
    model = MODELS.build(tiny_config(**overrides))
    if chatty:
        head = model.bbox_head
        for conv, std, bias in (
            (head.conv_cls, 0.3, -1.0),
            (head.conv_reg, 0.3, 3.0),
            (head.conv_centerness, 0.1, 0.0),
        ):
            torch.nn.init.normal_(conv.weight, std=std)
            torch.nn.init.constant_(conv.bias, bias)
    return model


def image_sample(boxes=(), labels=(), height=96, width=128, masks='polygon', scale=1.0, **meta) -> DetDataSample:
    """A sample with rectangles as objects; ``masks`` is 'polygon', 'bitmap' or None."""
    boxes = torch.as_tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    instances = InstanceData(bboxes=boxes, labels=torch.as_tensor(labels, dtype=torch.long))
    if masks == 'polygon':
        polygons = [[np.array([x1, y1, x2, y1, x2, y2, x1, y2], float)] for x1, y1, x2, y2 in boxes.tolist()]
        instances.masks = PolygonMasks(polygons, height, width)
    elif masks == 'bitmap':
        bitmaps = np.zeros((len(boxes), height, width), np.uint8)
        for bitmap, (x1, y1, x2, y2) in zip(bitmaps, boxes.round().int().tolist(), strict=True):
            bitmap[max(y1, 0) : y2, max(x1, 0) : x2] = 1
        instances.masks = BitmapMasks(bitmaps, height, width)
    original = (round(height / scale), round(width / scale))
    meta = dict(img_id=0, img_shape=(height, width), ori_shape=original, scale_factor=(scale, scale)) | meta
    return DetDataSample(metainfo=meta, gt_instances=instances)


def packed_batch(*samples: DetDataSample, seed: int = 0) -> dict:
    """Random images for the samples, as a data loader gives them."""
    generator = torch.Generator().manual_seed(seed)
    images = [torch.randint(0, 256, (3, *s.img_shape), generator=generator, dtype=torch.uint8) for s in samples]
    return dict(inputs=images, data_samples=list(samples))
