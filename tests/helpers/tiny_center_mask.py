"""A CenterMask small enough for unit tests, and batches for it."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.config import Config
from mmengine.structures import InstanceData

from mmkd.registry import MODELS

MODEL = Config.fromfile(Path(__file__).with_name('tiny_center_mask_model.py'))
CHANNELS = MODEL.channels


def tiny_config(num_classes: int = 3, **overrides) -> dict:
    """Config of a CenterMask of some ten thousand parameters; ``overrides`` replace whole parts of it."""
    config = MODEL.model.to_dict()
    roi_head = config['roi_head']
    for head in (config['bbox_head'], roi_head['mask_head'], roi_head['mask_iou_head']):
        head['num_classes'] = num_classes
    return copy.deepcopy(config | overrides)


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
