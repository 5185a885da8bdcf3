"""From the maps of CenterMask with point representation to the instances of an image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmengine.structures import InstanceData
from torch import Tensor

from ..utils.traced_sizes import sizes_like
from .mask_assembly import assemble_logits, cells_of_boxes

__all__ = ['Centers', 'Frame', 'boxes_of_image', 'decode_centers', 'paste_point_masks']

# Pixels of boxes that are assembled at a time.
_MAX_PIXELS = 2**22


class Centers(NamedTuple):
    """The n likeliest centres of each image, the highest score first; lengths are in cells.

    Attributes:
        score: (B, n).
        label: (B, n).
        row: (B, n) y of the cell.
        column: (B, n) x of the cell.
        box: (B, n, 4) x1, y1, x2, y2.
    """

    score: Tensor
    label: Tensor
    row: Tensor
    column: Tensor
    box: Tensor

    def of_images(self, score_thr: float) -> list[Centers]:
        """Those of each image that are scored higher than ``score_thr``, without the first dimension."""
        counts = (self.score > score_thr).sum(1).tolist()  # the best come first
        return [Centers(*(x[i, :count] for x in self)) for i, count in enumerate(counts)]

    def chosen(self, mask: Tensor) -> Centers:
        """Those of one image (n,) where the mask (n,) says so."""
        index = mask.nonzero().squeeze(1)
        return Centers(*(x[index] for x in self))


def decode_centers(
    heatmap: Tensor, offset: Tensor, size: Tensor, number: int, kernel: int = 3, smallest: float = 0.25
) -> Centers:
    """Peaks of the heatmap, the largest value in a window around it, in place of non-maximum suppression.

    Args:
        heatmap: (B, C, H, W) probabilities.
        offset: (B, 2, H, W) x and y in the cell.
        size: (B, 2, H, W) width and height in cells.
        number: How many to take of an image.
        kernel: Side of the window, odd.
        smallest: Smallest side of a box in cells.

    Returns:
        The centres, of all classes together.
    """
    number_of_images, _, height, width = heatmap.shape
    peaks = F.max_pool2d(heatmap, kernel, stride=1, padding=kernel // 2) == heatmap
    scores = (heatmap * peaks).flatten(1)
    score, index = scores.topk(min(number, scores.shape[1]))
    cell = index % (height * width)
    row, column = torch.div(cell, width, rounding_mode='floor'), cell % width
    image = torch.arange(number_of_images, device=cell.device)[:, None]
    center = torch.stack([column, row], -1) + offset[image, :, row, column]
    half = size[image, :, row, column].clamp(min=smallest) / 2
    label = torch.div(index, height * width, rounding_mode='floor')
    return Centers(score, label, row, column, torch.cat([center - half, center + half], -1))


class Frame(NamedTuple):
    """The image that results are of, as it lies on the maps.

    Attributes:
        height: In pixels.
        width: In pixels.
        scale: Cells a pixel, x and y.
        origin: Where the image begins on the maps, x and y in cells.
    """

    height: int
    width: int
    scale: tuple[float, float]
    origin: tuple[float, float]

    @classmethod
    def of(cls, meta: dict, stride: int, rescale: bool) -> Frame:
        """That of the original image if ``rescale``, and of the network's input otherwise.

        Args:
            meta: ``img_shape``, ``ori_shape`` and ``scale_factor`` of the image, and ``border`` if it was padded all
                around, as mmdet's ``RandomCenterCropPad`` does.
            stride: Pixels a cell.
            rescale: Which of the two.
        """
        if not rescale:
            return cls(*meta['img_shape'][:2], (1.0 / stride, 1.0 / stride), (0.0, 0.0))
        scale_x, scale_y = (x / stride for x in meta.get('scale_factor', (1.0, 1.0))[:2])
        top, _, left, _ = meta.get('border', (0.0,) * 4)  # top, bottom, left, right
        return cls(*meta['ori_shape'][:2], (scale_x, scale_y), (float(left) / stride, float(top) / stride))

    def pixels_of(self, map_boxes: Tensor) -> Tensor:
        """Boxes (n, 4) in cells, in pixels."""
        return (map_boxes - sizes_like(self.origin, map_boxes).repeat(2)) / sizes_like(self.scale, map_boxes).repeat(2)


def boxes_of_image(centers: Centers, frame: Frame) -> InstanceData:
    """What is found in an image, without masks.

    Args:
        centers: Those of the image.
        frame: The image.

    Returns:
        ``bboxes`` (n, 4) clipped to the image, ``scores``, ``labels``, ``cells`` (n, 2), row and column of the centre
        on the maps, and ``map_bboxes`` (n, 4) in cells, not clipped. Objects outside of the image are left out.
    """
    boxes = frame.pixels_of(centers.box)
    clipped = torch.minimum(boxes.clamp(min=0), sizes_like((frame.width, frame.height), boxes).repeat(2))
    keep = (clipped[:, 2:] > clipped[:, :2]).all(1).nonzero()[:, 0]
    cells = torch.stack([centers.row, centers.column], 1)
    return InstanceData(
        bboxes=clipped[keep],
        scores=centers.score[keep],
        labels=centers.label[keep],
        cells=cells[keep],
        map_bboxes=centers.box[keep],
    )


def paste_point_masks(
    shapes: Tensor, saliency: Tensor, boxes: Tensor, plane: Tensor, frame: Frame, mask_thr: float = 0.4
) -> Tensor:
    """Assembles masks at the pixels of an image, only there where their boxes are.

    Args:
        shapes: (n, S, S) logits of the local shapes.
        saliency: (M, H, W) logits of the saliency maps.
        boxes: (n, 4) in cells of the saliency maps.
        plane: (n,) which saliency map belongs to each object.
        frame: The image.
        mask_thr: A pixel belongs to a mask from this probability on.

    Returns:
        (n, height, width) bool.
    """
    height, width = frame.height, frame.width
    pixel_boxes = frame.pixels_of(boxes)
    masks = torch.zeros(len(boxes), height, width, dtype=torch.bool, device=boxes.device)
    flat = masks.view(-1)
    for group in _groups(pixel_boxes):
        cells = cells_of_boxes(pixel_boxes[group], height, width)
        local, glob = assemble_logits(
            shapes[group], saliency, boxes[group], plane[group], cells, frame.scale, frame.origin
        )
        inside = local.sigmoid() * glob.sigmoid() >= mask_thr
        place = ((cells.box + group.start) * height + cells.row) * width + cells.column
        flat[place] = inside  # no pixel of a mask is there twice
    return masks


def _groups(pixel_boxes: Tensor) -> Iterator[slice]:
    """Neighbouring boxes that have no more than so many pixels together, and at least one box."""
    areas = (pixel_boxes[:, 2:] - pixel_boxes[:, :2]).ceil().prod(1).tolist()
    start, total = 0, 0.0
    for i, area in enumerate(areas):
        if i > start and total + area > _MAX_PIXELS:
            yield slice(start, i)
            start, total = i, 0.0
        total += area
    if areas:
        yield slice(start, len(areas))
