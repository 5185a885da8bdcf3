"""A made-up batch, to run networks with before there is a real one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

import numpy as np
import torch
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from torch import Tensor

__all__ = ['dummy_batch']


def dummy_batch(size: Sequence[int], device: torch.device | None) -> tuple[Tensor, list[BaseDataElement]]:
    """One image (1, 3, H, W) of noise, the same at each call, and a data sample with a made-up ground truth.

    Some heads look at the ground truth whatever they are asked for (Sparse R-CNN, DINO in training), and so do some
    losses. There are two objects, of class 0 as everything is.
    """
    height, width = size
    device = device or torch.device('cpu')
    image = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(0)).to(device)
    shape = (height, width)
    sizes = dict(img_shape=shape, ori_shape=shape, pad_shape=shape, batch_input_shape=shape, scale_factor=(1.0, 1.0))
    sample = BaseDataElement(metainfo=dict(sizes, img_id=0, flip=False))
    boxes = torch.tensor([[0.1, 0.2, 0.5, 0.7], [0.4, 0.3, 0.9, 0.6]]) * torch.tensor([width, height, width, height])
    sample.gt_instances = InstanceData(bboxes=boxes.to(device), labels=torch.zeros(2, dtype=torch.long, device=device))
    if 'mmdet' in sys.modules:
        masks = np.zeros((2, height, width), np.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.long().tolist(), strict=True):
            mask[y1:y2, x1:x2] = 1
        sample.gt_instances.masks = import_module('mmdet.structures.mask').BitmapMasks(masks, height, width)
    label_map = torch.zeros(1, height, width, dtype=torch.long, device=device)
    sample.gt_sem_seg = PixelData(data=label_map, sem_seg=label_map)  # mmseg's name, and mmdet's
    return image, [sample]
