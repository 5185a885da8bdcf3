"""What losses read from data samples, of mmdet or mmseg. By attribute, so that neither has to be imported."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def image_size(data_samples: Sequence, loss: str) -> tuple[int, int]:
    """Height and width of the batch's images, padding included: what a feature map stands for.

    Raises:
        ValueError: no data sample says so.
    """
    for key in ('batch_input_shape', 'pad_shape', 'img_shape'):
        size = [sample.metainfo.get(key) for sample in data_samples]
        if size and all(size):
            return max(s[0] for s in size), max(s[1] for s in size)
    raise ValueError(f'{loss}: the data samples have none of batch_input_shape, pad_shape and img_shape')


def ground_truth_boxes(data_samples: Sequence, loss: str) -> list[Tensor]:
    """The boxes (K, 4) of each image, x1 y1 x2 y2 in pixels; K may be 0.

    Raises:
        ValueError: a data sample has no ``gt_instances.bboxes``.
    """
    boxes = []
    for sample in data_samples:
        instances = getattr(sample, 'gt_instances', None)
        if instances is None or 'bboxes' not in instances:
            raise ValueError(f'{loss}: it needs ground truth boxes, and a data sample has no gt_instances.bboxes')
        box = instances.bboxes
        boxes.append(getattr(box, 'tensor', box))  # mmdet's HorizontalBoxes
    return boxes


def label_maps(data_samples: Sequence, size: Sequence[int], loss: str) -> Tensor:
    """The class maps (N, h, w) of a batch, at the size of a feature map: that of the nearest pixel.

    Args:
        data_samples: Those of the batch, padded to one size.
        size: h, w.
        loss: For messages.

    Raises:
        ValueError: a data sample has no ``gt_sem_seg``, or they differ in size.
    """
    maps = [getattr(sample, 'gt_sem_seg', None) for sample in data_samples]
    if not maps or any(item is None for item in maps):
        raise ValueError(f'{loss}: it needs class maps, and a data sample has no gt_sem_seg')
    sizes = {tuple(item.data.shape[-2:]) for item in maps}
    if len(sizes) > 1:
        raise ValueError(f'{loss}: the class maps of the batch have different sizes: {sorted(sizes)}')
    labels = torch.stack([item.data.reshape(item.data.shape[-2:]) for item in maps])
    return F.interpolate(labels[:, None].float(), tuple(size), mode='nearest')[:, 0].long()
