"""Which object each location of FCOS is to find."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Positives(NamedTuple):
    """What the box branch learns from in a batch: its P positive among all L locations, and two normalisers.

    Attributes:
        labels: (L,) class of each location, ``num_classes`` for background.
        index: (P,) which locations are positive.
        distances: (P, 4) true distances.
        centerness: (P,) true centreness.
        count: P, at least 1, averaged over processes.
        centerness_sum: Sum of the true centreness, averaged over processes.
    """

    labels: Tensor
    index: Tensor
    distances: Tensor
    centerness: Tensor
    count: Tensor
    centerness_sum: Tensor


def fcos_targets(
    points: Tensor,
    regress_ranges: Tensor,
    boxes: Tensor,
    labels: Tensor,
    background: int,
    radii: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Labels and distances of the locations of one image, all levels together.

    A location finds an object when it lies inside of its box (with ``radii``, also inside of the square around the
    box's centre) and its largest distance to a side of the box is in the range of its level, both ends included. Of
    several objects the one with the smallest box is taken.

    mmdet's form of the same rule holds about ten tensors (locations, boxes, 4) and picks from them with a Python
    range; here nothing is larger than (locations, boxes), so that images with hundreds of objects train.

    Args:
        points: Locations (P, 2), x and y in pixels.
        regress_ranges: Smallest and largest distance of each location (P, 2).
        boxes: Boxes x1, y1, x2, y2 (G, 4); G may be 0.
        labels: Classes (G,).
        background: Label of locations without an object.
        radii: Half the side of the centre square for each location (P, 1).

    Returns:
        Labels (P,) and distances left, top, right, bottom (P, 4) in pixels; they mean nothing where
        there is no object.

    Source: FCOS (Tian et al. 2019), section 3.1 and 3.2, with centre sampling of its journal version.
    """
    if len(boxes) == 0:
        return labels.new_full((len(points),), background), points.new_zeros(len(points), 4)

    x, y = points[:, :1], points[:, 1:]
    x1, y1, x2, y2 = boxes.unbind(1)
    left, top, right, bottom = x - x1, y - y1, x2 - x, y2 - y  # (P, G)
    largest = torch.maximum(torch.maximum(left, right), torch.maximum(top, bottom))
    margin_x, margin_y = torch.minimum(left, right), torch.minimum(top, bottom)
    if radii is not None:
        centre_x, centre_y = (x1 + x2) / 2, (y1 + y2) / 2
        margin_x = torch.minimum(margin_x, torch.minimum(x - (centre_x - radii), centre_x + radii - x))
        margin_y = torch.minimum(margin_y, torch.minimum(y - (centre_y - radii), centre_y + radii - y))
    fits = (margin_x > 0) & (margin_y > 0)
    fits &= (largest >= regress_ranges[:, :1]) & (largest <= regress_ranges[:, 1:])

    areas = ((x2 - x1) * (y2 - y1)).expand_as(fits).masked_fill(~fits, math.inf)
    area, index = areas.min(dim=1)
    chosen = boxes[index]
    distances = torch.cat([points - chosen[:, :2], chosen[:, 2:] - points], dim=1)
    return labels[index].masked_fill(area.isinf(), background), distances
