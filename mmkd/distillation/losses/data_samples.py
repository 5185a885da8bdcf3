"""What losses read from data samples, of mmdet or mmseg. By attribute, so that neither has to be imported."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import Levels


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
    if not data_samples:
        raise ValueError(f'{loss}: it needs class maps, and there are none of these images')
    maps = [getattr(sample, 'gt_sem_seg', None) for sample in data_samples]
    if any(item is None for item in maps):
        raise ValueError(f'{loss}: it needs class maps, and a data sample has no gt_sem_seg')
    sizes = {tuple(item.data.shape[-2:]) for item in maps}
    if len(sizes) > 1:
        raise ValueError(f'{loss}: the class maps of the batch have different sizes: {sorted(sizes)}')
    labels = torch.stack([item.data.reshape(item.data.shape[-2:]) for item in maps])
    return F.interpolate(labels[:, None].float(), tuple(size), mode='nearest')[:, 0].long()


def mask_ignored(
    mask: Levels | None, maps: Levels, data_samples: Sequence | None, ignore_index: int | None, loss: str
) -> Levels | None:
    """What ``ignore_index`` means in every loss: positions whose label in the ground truth is it do not count.

    Args:
        mask: (N, h, w), bool or weights, or a list of levels: what counts otherwise; None: everything.
        maps: (N, C, h, w), or a list of levels: what is compared.
        data_samples: Those of the batch, with ``gt_sem_seg``.
        ignore_index: The label; None: ``mask`` stays as it is.
        loss: For messages.

    Returns:
        (N, h, w), or a list of levels, with 0 at the ignored positions.

    Raises:
        ValueError: a data sample has no class map, or they differ in size.
    """
    if ignore_index is None:
        return mask
    if not isinstance(maps, Tensor):
        masks = [None] * len(maps) if mask is None else mask
        return [mask_ignored(m, level, data_samples, ignore_index, loss) for m, level in zip(masks, maps, strict=True)]
    if maps.dim() != 4:
        raise ValueError(f'{loss}: ignore_index needs maps (N, C, H, W), but got {tuple(maps.shape)}')
    labels = label_maps(data_samples or [], maps.shape[2:], f'{loss} with ignore_index')
    counts = (labels != ignore_index).to(maps.device)
    return counts if mask is None else mask * counts
