"""Masks from a local shape at each object and a saliency map of the image, for all objects at once.

An object's mask is the product of its S x S shape, resized to its box, and of the saliency cut out of the map by that
box (Wang et al. 2020, CenterMask with point representation, section 3). Boxes have different sizes; the cells of all of
them are put into one long list, so that neither a loop over the objects nor padding is needed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from torch import Tensor

__all__ = ['BoxCells', 'assemble_logits', 'cells_of_boxes', 'masks_at_stride', 'sample_planes']


class BoxCells(NamedTuple):
    """The cells of K boxes on a lattice, P in all, box after box and row after row.

    Attributes:
        box: (P,) which box a cell belongs to.
        row: (P,) its y on the lattice.
        column: (P,) its x on the lattice.
        count: (K,) how many cells each box has.
    """

    box: Tensor
    row: Tensor
    column: Tensor
    count: Tensor


def cells_of_boxes(boxes: Tensor, height: int, width: int) -> BoxCells:
    """Lists the cells that each box touches, those outside of the lattice left out.

    Args:
        boxes: (K, 4) x1, y1, x2, y2 in cells; the cell at column c reaches from c to c + 1.
        height: Rows of the lattice.
        width: Columns of the lattice.

    Returns:
        The cells; a box of no area, or outside, has none.
    """
    limit = torch.tensor([width, height], device=boxes.device)
    first = torch.minimum(boxes[:, :2].floor().clamp(min=0).long(), limit)
    last = torch.minimum(boxes[:, 2:].ceil().clamp(min=0).long(), limit)
    sides = (last - first).clamp(min=0)
    count = sides.prod(1)
    box = torch.repeat_interleave(count)
    rank = torch.arange(len(box), device=boxes.device) - (count.cumsum(0) - count)[box]
    columns = sides[:, 0][box]
    row = torch.div(rank, columns, rounding_mode='floor')
    return BoxCells(box, row + first[:, 1][box], rank - row * columns + first[:, 0][box], count)


def sample_planes(planes: Tensor, plane: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Bilinear samples, each from a plane of its own; outside of the middles of the outermost cells these repeat.

    Args:
        planes: (M, H, W).
        plane: (P,) which plane to sample.
        y: (P,) in cells, 0.5 in the middle of row 0.
        x: (P,) in cells, 0.5 in the middle of column 0.

    Returns:
        (P,) of the type of ``planes``.
    """
    height, width = planes.shape[-2:]
    flat = planes.reshape(-1)
    y, x = (y - 0.5).clamp(0, height - 1), (x - 0.5).clamp(0, width - 1)
    top, left = y.long(), x.long()
    below, beside = (y - top).to(planes), (x - left).to(planes)
    down = (top < height - 1).long() * width
    right = (left < width - 1).long()
    corner = (plane * height + top) * width + left
    upper = torch.lerp(flat.index_select(0, corner), flat.index_select(0, corner + right), beside)
    lower = torch.lerp(flat.index_select(0, corner + down), flat.index_select(0, corner + down + right), beside)
    return torch.lerp(upper, lower, below)


def assemble_logits(
    shapes: Tensor,
    saliency: Tensor,
    boxes: Tensor,
    plane: Tensor,
    cells: BoxCells,
    scale: tuple[float, float] = (1.0, 1.0),
    origin: tuple[float, float] = (0.0, 0.0),
) -> tuple[Tensor, Tensor]:
    """Logits of local shape and of global saliency at each cell of the boxes.

    The mask of a cell is ``local.sigmoid() * saliency.sigmoid()``. With boxes of whole cells, ``local`` is
    ``F.interpolate(shape, (h, w), mode='bilinear')``; with others the shape is sampled where the cells' middles are in
    the box. The lattice of the cells may be another than that of the maps: pixels of the original image, say.

    Args:
        shapes: (K, S, S) logits of the objects.
        saliency: (M, H, W) logits of the saliency maps.
        boxes: (K, 4) in cells of the saliency map.
        plane: (K,) which saliency map belongs to each object.
        cells: The cells of the boxes, on the lattice.
        scale: Cells of the saliency map for one of the lattice, x and y.
        origin: Where the lattice begins on the saliency map, x and y in cells of the map.

    Returns:
        Two (P,).
    """
    same_lattice = scale == (1.0, 1.0) and origin == (0.0, 0.0)
    x = (cells.column.to(boxes) + 0.5) * scale[0] + origin[0]
    y = (cells.row.to(boxes) + 0.5) * scale[1] + origin[1]
    size = shapes.shape[-1]
    per_cell = size / (boxes[:, 2:] - boxes[:, :2])
    x_in_shape = (x - boxes[:, 0][cells.box]) * per_cell[:, 0][cells.box]
    y_in_shape = (y - boxes[:, 1][cells.box]) * per_cell[:, 1][cells.box]
    local = sample_planes(shapes, cells.box, y_in_shape, x_in_shape)
    map_of_cell = plane[cells.box]
    if not same_lattice:
        return local, sample_planes(saliency, map_of_cell, y, x)
    height, width = saliency.shape[-2:]
    place = (map_of_cell * height + cells.row) * width + cells.column
    return local, saliency.reshape(-1).index_select(0, place)


def masks_at_stride(
    masks: BitmapMasks | PolygonMasks, chosen: Tensor, height: int, width: int, stride: int, device: torch.device
) -> Tensor:
    """How much of each cell the masks of an image cover.

    Args:
        masks: The instances, in pixels.
        chosen: (n,) which of them, in which order.
        height: Rows of the map.
        width: Columns of the map; an image smaller than the map has nothing there.
        stride: Pixels a cell.
        device: Of the result.

    Returns:
        (n, height, width) float32 in [0, 1].

    Raises:
        TypeError: If ``masks`` are neither polygons nor bitmaps.
    """
    if not isinstance(masks, (BitmapMasks, PolygonMasks)):
        raise TypeError(f'gt_instances.masks: got {type(masks).__name__}, expected PolygonMasks or BitmapMasks')
    if len(chosen) == 0:
        return torch.zeros(0, height, width, device=device)
    bitmaps = masks[chosen.cpu().numpy()].to_ndarray()
    bitmaps = torch.from_numpy(np.ascontiguousarray(bitmaps, dtype=np.uint8)).to(device)
    bottom, right = height * stride - bitmaps.shape[1], width * stride - bitmaps.shape[2]
    bitmaps = F.pad(bitmaps, (0, right, 0, bottom))  # negative where the image is larger than the map
    cells = bitmaps.view(-1, height, stride, width, stride)
    return cells.sum((2, 4), dtype=torch.float32) / stride**2
