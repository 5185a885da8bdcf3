"""What of its instance each RoI sees: as a small raster (the target of the mask head) and as a share of its area.

Boxes are taken as they are, also where they leave the image. mmdet's ``mask_target`` clips them to the image (in place
on the CPU, so the proposals change too) and lets no side be shorter than a pixel, after which the target no longer
lies where the features were pooled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from mmcv.ops import roi_align
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from pycocotools import mask as coco_mask
from torch import Tensor

# Shorter sides would blow polygons up to where their coordinates overflow.
_MIN_BOX_SIDE = 0.1
# Bitmaps are converted in groups of at most this many pixels, to bound the memory in crowded images.
_MAX_PIXELS = 2**26

InstanceMasks = PolygonMasks | BitmapMasks


def of_batch(measure: Callable[..., Tensor], sampling_results: Sequence, batch_gt_instances: Sequence, *args) -> Tensor:
    """:func:`mask_targets` or :func:`visible_area_ratios` of the positive RoIs of a batch.

    Polygons, and which instance a bitmap is of, are needed on the host: the host waits for the device once, not for
    each image.

    Args:
        measure: One of the two functions.
        sampling_results: mmdet's ``SamplingResult`` of each image.
        batch_gt_instances: ``InstanceData`` with ``masks`` of each image.
        *args: Further arguments of the function.

    Returns:
        What the function gives, image after image, on the device of the RoIs.
    """
    boxes = torch.cat([result.pos_priors for result in sampling_results]).detach().float()
    gt_inds = torch.cat([result.pos_assigned_gt_inds for result in sampling_results])
    on_host = torch.cat([boxes.double(), gt_inds[:, None].double()], dim=1).cpu()  # both are exact in float64
    counts = [len(result.pos_priors) for result in sampling_results]
    parts = []
    images = zip(batch_gt_instances, boxes.split(counts), on_host.split(counts), strict=True)
    for gt_instances, on_device, rows in images:
        used = rows[:, :4].float() if _are_polygons(gt_instances.masks) else on_device
        parts.append(measure(gt_instances.masks, used, rows[:, 4].long(), *args).to(boxes.device, non_blocking=True))
    return torch.cat(parts)


def mask_targets(masks: InstanceMasks, boxes: Tensor, gt_inds: Tensor, size: int) -> Tensor:
    """Cuts each box out of the mask of its instance.

    Polygons are moved and scaled into the box and rasterised by pycocotools, as in centermask2; bitmaps are sampled by
    RoIAlign and are foreground from one half on, as in detectron2, with nothing outside of the bitmap.

    Args:
        masks: The G instances of an image.
        boxes: (N, 4), x1, y1, x2, y2 in pixels, not clipped.
        gt_inds: (N,) int64, which instance each box belongs to.
        size: Side of the raster in cells.

    Returns:
        (N, size, size) float32 of 0 and 1, on the device of ``boxes``.

    Raises:
        TypeError: If ``masks`` are neither polygons nor bitmaps.
    """
    boxes = boxes.detach().float()
    if len(boxes) == 0:
        return boxes.new_zeros(0, size, size)
    if _are_polygons(masks):
        raster = _rasterise(_polygons_of(masks, gt_inds), boxes.cpu().numpy(), size)
        return torch.from_numpy(raster).to(boxes)
    targets = boxes.new_empty(len(boxes), size, size)
    for bitmaps, chosen, index in _bitmap_groups(masks, gt_inds, boxes.device):
        # A frame of background, since RoIAlign would repeat the outermost pixels. It moves the boxes by one.
        framed = F.pad(bitmaps, (1, 1, 1, 1)).float()[:, None].contiguous()
        rois = torch.cat([index[:, None].to(boxes), boxes[chosen] + 1], dim=1)
        targets[chosen] = (roi_align(framed, rois, size, 1.0, 0, 'avg', True)[:, 0] >= 0.5).float()
    return targets


def visible_area_ratios(masks: InstanceMasks, boxes: Tensor, gt_inds: Tensor) -> Tensor:
    """The share of each instance's area that lies in its box.

    As in centermask2 the box counts with whole sides, ``[x1, x1 + int(w)] x [y1, y1 + int(h)]``. The area inside is
    that of pycocotools for polygons, and exact, with fractions of pixels, for bitmaps; the full area is that of the
    polygons (shoelace formula) or of the bitmap.

    Args:
        masks: The G instances of an image.
        boxes: (N, 4), x1, y1, x2, y2 in pixels, not clipped.
        gt_inds: (N,) int64, which instance each box belongs to.

    Returns:
        (N,) float64 in [0, 1], on the device of ``boxes``; 0 for instances without area.

    Raises:
        TypeError: If ``masks`` are neither polygons nor bitmaps.
    """
    boxes = boxes.detach().float()
    if len(boxes) == 0:
        return boxes.new_zeros(0, dtype=torch.float64)
    if _are_polygons(masks):
        polygons = _polygons_of(masks, gt_inds)
        pairs = zip(polygons, boxes.cpu().numpy(), strict=True)
        inside = torch.tensor([_polygon_area_in_box(*pair) for pair in pairs], dtype=torch.float64)
        full = torch.tensor([sum(map(_shoelace_area, instance)) for instance in polygons], dtype=torch.float64)
    else:
        inside, full = torch.zeros(2, len(boxes), dtype=torch.float64, device=boxes.device)
        for bitmaps, chosen, index in _bitmap_groups(masks, gt_inds, boxes.device):
            inside[chosen], full[chosen] = _bitmap_areas(bitmaps, boxes[chosen], index)
    ratios = torch.where(full > 0, inside / full, 0.0)
    return ratios.clamp(0, 1).to(boxes.device)


def _are_polygons(masks: InstanceMasks) -> bool:
    if not isinstance(masks, (PolygonMasks, BitmapMasks)):
        raise TypeError(f'gt_instances.masks: got {type(masks).__name__}, expected PolygonMasks or BitmapMasks')
    return isinstance(masks, PolygonMasks)


# ------------------------------------------------------------------------------------------------------ polygons


def _polygons_of(masks: PolygonMasks, gt_inds: Tensor) -> list[list[np.ndarray]]:
    """The polygons of the instance of each box, those of less than three points left out."""
    instances = {i: [polygon for polygon in masks.masks[i] if len(polygon) >= 6] for i in set(gt_inds.tolist())}
    return [instances[i] for i in gt_inds.tolist()]


def _to_box(polygons: list[np.ndarray], box: np.ndarray, scale: np.ndarray | float = 1.0) -> list[np.ndarray]:
    return [((polygon.reshape(-1, 2) - box[:2]) * scale).reshape(-1) for polygon in polygons]


def _rasterise(polygons: list[list[np.ndarray]], boxes: np.ndarray, size: int) -> np.ndarray:
    """All polygons of all boxes in one call of pycocotools. The scales are float32, as in the original: in float64 some
    points round to another cell."""
    scales = size / np.maximum(boxes[:, 2:] - boxes[:, :2], np.float32(_MIN_BOX_SIDE))
    local = [_to_box(*row) for row in zip(polygons, boxes, scales.astype(np.float32), strict=True)]
    flat = [polygon for instance in local for polygon in instance]
    raster = np.zeros((len(boxes), size, size), dtype=np.uint8)
    if not flat:
        return raster
    pieces = iter(coco_mask.frPyObjects(flat, size, size))
    encoded, rows = [], []
    for row, instance in enumerate(local):
        if instance:
            encoded.append(coco_mask.merge([next(pieces) for _ in instance]))
            rows.append(row)
    raster[rows] = coco_mask.decode(encoded).transpose(2, 0, 1)
    return raster


def _polygon_area_in_box(polygons: list[np.ndarray], box: np.ndarray) -> float:
    width, height = int(box[2] - box[0]), int(box[3] - box[1])
    if width < 1 or height < 1 or not polygons:
        return 0.0
    return float(coco_mask.area(coco_mask.merge(coco_mask.frPyObjects(_to_box(polygons, box), height, width))))


def _shoelace_area(polygon: np.ndarray) -> float:
    x, y = polygon[0::2], polygon[1::2]
    return 0.5 * abs(float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))))


# ------------------------------------------------------------------------------------------------------- bitmaps


def _bitmap_groups(
    masks: BitmapMasks, gt_inds: Tensor, device: torch.device
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """The instances that have boxes, a few at a time.

    Yields:
        On the device, (n, H, W) uint8 bitmaps; which boxes belong to them; which of the n bitmaps each of these has.
    """
    used, index = torch.unique(gt_inds.cpu(), return_inverse=True)
    step = max(1, _MAX_PIXELS // (masks.height * masks.width))
    for start in range(0, len(used), step):
        bitmaps = masks.masks[used[start : start + step].numpy()]
        chosen = ((index >= start) & (index < start + step)).nonzero().squeeze(1)
        bitmaps = torch.from_numpy(np.ascontiguousarray(bitmaps > 0, dtype=np.uint8))
        yield bitmaps.to(device), chosen.to(device), (index[chosen] - start).to(device)


def _bitmap_areas(bitmaps: Tensor, boxes: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Areas inside of the boxes and in all, from the integral images of the bitmaps.

    Args:
        bitmaps: (n, H, W) uint8.
        boxes: (N, 4) float32.
        index: (N,) which bitmap each box is about.

    Returns:
        Two (N,) float64.
    """
    integral = F.pad(bitmaps.cumsum(1, dtype=torch.int32).cumsum(2, dtype=torch.int32), (1, 0, 1, 0))
    sides = (boxes[:, 2:] - boxes[:, :2]).trunc().clamp(min=0).double()
    x1, y1 = boxes[:, :2].double().unbind(1)
    x2, y2 = x1 + sides[:, 0], y1 + sides[:, 1]

    def area_up_to(x, y):
        """Area left of x and above y, exact also between the pixels' edges, where the integral is bilinear."""
        height, width = bitmaps.shape[1:]
        x, y = x.clamp(0, width), y.clamp(0, height)
        left, top = x.long().clamp(max=width - 1), y.long().clamp(max=height - 1)
        right_part, bottom_part = x - left, y - top
        upper = integral[index, top, left] * (1 - right_part) + integral[index, top, left + 1] * right_part
        lower = integral[index, top + 1, left] * (1 - right_part) + integral[index, top + 1, left + 1] * right_part
        return upper * (1 - bottom_part) + lower * bottom_part

    inside = area_up_to(x2, y2) - area_up_to(x1, y2) - area_up_to(x2, y1) + area_up_to(x1, y1)
    return inside, integral[index, -1, -1].double()
