"""What the branches at object centres learn from: heatmaps, and for each object its cell, offset and size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmdet.structures.bbox import get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor

__all__ = ['CenterTargets', 'center_targets', 'cornernet_radius', 'draw_gaussians', 'exact_radius']

# Values of Gaussians that are made at a time, to bound the memory in crowded batches of large objects.
_MAX_VALUES = 2**24


class CenterTargets(NamedTuple):
    """The K objects of a batch whose centre lies on the map; all lengths are in cells.

    Attributes:
        heatmap: (B, C, H, W), 1 at the cell of each centre, a Gaussian around it.
        image: (K,) which image each object is in.
        label: (K,) its class.
        number: (K,) which of the objects of its image it is.
        column: (K,) x of the cell of its centre.
        row: (K,) y of that cell.
        offset: (K, 2) from that cell's corner to the centre, x and y in [0, 1).
        size: (K, 2) width and height.
        box: (K, 4) x1, y1, x2, y2.
    """

    heatmap: Tensor
    image: Tensor
    label: Tensor
    number: Tensor
    column: Tensor
    row: Tensor
    offset: Tensor
    size: Tensor
    box: Tensor


def cornernet_radius(height: Tensor, width: Tensor, min_overlap: float = 0.7) -> Tensor:
    """How far a corner may be off so that the box still overlaps with the true one: CornerNet's formula.

    It is the one that CornerNet (Law & Deng 2018) was published with, and that CenterNet and CenterMask with point
    representation are trained with. As the solution of the three quadratic equations it is wrong: it adds the root and
    divides by 2 whatever the leading coefficient is, and so gives radii some three times as large. See
    :func:`exact_radius`.

    Args:
        height: Heights of the boxes in cells, any shape.
        width: Widths of the boxes, the same shape.
        min_overlap: Smallest IoU.

    Returns:
        Radii in cells, float64 of that shape.
    """
    height, width = height.double(), width.double()
    total, area = height + width, height * width
    outside_inside = (total + (total**2 - 4 * area * (1 - min_overlap) / (1 + min_overlap)).sqrt()) / 2
    inside = (2 * total + (4 * total**2 - 16 * (1 - min_overlap) * area).sqrt()) / 2
    b = -2 * min_overlap * total
    outside = (b + (b**2 - 16 * min_overlap * (min_overlap - 1) * area).sqrt()) / 2
    return torch.minimum(torch.minimum(outside_inside, inside), outside)


def exact_radius(height: Tensor, width: Tensor, min_overlap: float = 0.3) -> Tensor:
    """As :func:`cornernet_radius`, with the equations solved; what mmdet's ``gaussian_radius`` gives.

    Args:
        height: Heights of the boxes in cells, any shape.
        width: Widths of the boxes, the same shape.
        min_overlap: Smallest IoU. mmdet's CenterNet uses 0.3.

    Returns:
        Radii in cells, float64 of that shape.
    """
    height, width = height.double(), width.double()
    total, area = height + width, height * width
    outside_inside = (total - (total**2 - 4 * area * (1 - min_overlap) / (1 + min_overlap)).sqrt()) / 2
    inside = (2 * total - (4 * total**2 - 16 * (1 - min_overlap) * area).sqrt()) / 8
    b = -2 * min_overlap * total
    outside = (b + (b**2 - 16 * min_overlap * (min_overlap - 1) * area).sqrt()) / (8 * min_overlap)
    return torch.minimum(torch.minimum(outside_inside, inside), outside)


def draw_gaussians(
    shape: Sequence[int], plane: Tensor, column: Tensor, row: Tensor, radius: Tensor, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Heatmaps with a Gaussian of sigma = (2 radius + 1) / 6 for each object, the largest value where they overlap.

    A Gaussian is cut off at a square of ``radius`` cells around its centre. All objects are drawn at once.

    Args:
        shape: (B, C, H, W) of the result.
        plane: (K,) which of the B * C maps each object is drawn on.
        column: (K,) x of its centre, in [0, W).
        row: (K,) y of its centre, in [0, H).
        radius: (K,) int64, cells.
        dtype: Of the result.

    Returns:
        (B, C, H, W).
    """
    height, width = shape[-2:]
    heatmap = torch.zeros(shape, dtype=dtype, device=plane.device)
    if len(plane) == 0:
        return heatmap
    reach = int(radius.max())
    line = torch.arange(-reach, reach + 1, device=plane.device)
    step = max(1, _MAX_VALUES // len(line) ** 2)
    for chunk in torch.arange(len(plane), device=plane.device).split(step):
        r = radius[chunk, None]
        profile = torch.exp(-18 * (line.to(dtype) / (2 * r + 1)) ** 2)  # 1 / (2 sigma^2) = 18 / (2r + 1)^2
        profile = torch.where(line.abs() <= r, profile, 0)
        x, y = column[chunk, None] + line, row[chunk, None] + line
        value_x = torch.where((x >= 0) & (x < width), profile, 0)
        value_y = torch.where((y >= 0) & (y < height), profile, 0)
        cell = y.clamp(0, height - 1)[:, :, None] * width + x.clamp(0, width - 1)[:, None, :]
        cell = cell + plane[chunk, None, None] * (height * width)
        value = value_y[:, :, None] * value_x[:, None, :]
        heatmap.view(-1).scatter_reduce_(0, cell.reshape(-1), value.reshape(-1), 'amax')
    return heatmap


def center_targets(
    batch_gt_instances: Sequence[InstanceData],
    shape: Sequence[int],
    stride: int,
    radius: str = 'cornernet',
    min_overlap: float = 0.7,
) -> CenterTargets:
    """Targets of a batch.

    Args:
        batch_gt_instances: For each of B images ``bboxes`` (n, 4) in pixels and ``labels`` (n,).
        shape: (B, C, H, W) of the heatmap.
        stride: Pixels a cell.
        radius: ``'cornernet'``: :func:`cornernet_radius` of whole sides, as CornerNet and CenterNet have it;
            ``'exact'``: :func:`exact_radius`, as mmdet has it.
        min_overlap: Smallest IoU of boxes at that radius.

    Returns:
        The targets. Objects whose centre lies outside of the map, or which have no area, are left out.
    """
    device = batch_gt_instances[0].labels.device
    height, width = shape[-2:]
    counts = [len(instances.labels) for instances in batch_gt_instances]
    # made on the host, which knows the counts, and moved at once
    image = torch.tensor([i for i, count in enumerate(counts) for _ in range(count)], dtype=torch.long)
    order = torch.tensor([j for count in counts for j in range(count)], dtype=torch.long)
    image, order = torch.stack([image, order]).to(device, non_blocking=True)
    box = torch.cat([get_box_tensor(instances.bboxes).reshape(-1, 4) for instances in batch_gt_instances]).float()
    box = box / stride
    label = torch.cat([instances.labels for instances in batch_gt_instances])
    center, size = (box[:, :2] + box[:, 2:]) / 2, box[:, 2:] - box[:, :2]
    cell = center.floor().long()
    inside = (cell[:, 0] < width) & (cell[:, 1] < height)
    keep = (inside & ((cell >= 0) & (size > 0)).all(1)).nonzero()[:, 0]  # once: each boolean index waits for the device
    image, order, box, label, center, size, cell = (x[keep] for x in (image, order, box, label, center, size, cell))

    if radius == 'cornernet':
        radii = cornernet_radius(size[:, 1].ceil(), size[:, 0].ceil(), min_overlap)
    else:
        radii = exact_radius(size[:, 1], size[:, 0], min_overlap)
    plane = image * shape[1] + label
    heatmap = draw_gaussians(shape, plane, cell[:, 0], cell[:, 1], radii.clamp(min=0).long())
    return CenterTargets(heatmap, image, label, order, cell[:, 0], cell[:, 1], center - cell, size, box)
