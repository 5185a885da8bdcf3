"""Masks of the size of the image from what an exported instance model gives. Needs numpy, and nothing else.

What a file gives, its metadata name as ``mask``: ``'box'`` (:func:`paste_masks`), ``'image'`` (:func:`upsample_masks`)
or ``'product'`` (:func:`assemble_masks`). They sample bilinearly, by a product of small matrices for each instance.
"""

from __future__ import annotations

import numpy as np

__all__ = ['assemble_masks', 'paste_masks', 'upsample_masks']


def paste_masks(
    probabilities: np.ndarray, boxes: np.ndarray, height: int, width: int, threshold: float = 0.5
) -> np.ndarray:
    """Masks from probabilities in boxes (CenterMask, Mask R-CNN).

    Args:
        probabilities: (n, S, S), each stretched over its box. Outside of the box is nothing.
        boxes: (n, 4) x1, y1, x2, y2 in pixels.
        height: Of the image.
        width: Of the image.
        threshold: A pixel belongs to a mask from this probability on.

    Returns:
        (n, height, width) bool.

    Example:
        >>> paste_masks(np.ones((1, 4, 4)), np.array([[1, 0, 3, 2]]), 2, 4).astype(int)
        array([[[0, 1, 1, 0],
                [0, 1, 1, 0]]])
    """
    masks = np.zeros((len(boxes), height, width), dtype=bool)
    size = probabilities.shape[-1]
    for mask, inside, (x1, y1, x2, y2) in zip(masks, probabilities, boxes.astype(np.float64), strict=True):
        rows, columns = _reach(y1, y2, height, margin=1), _reach(x1, x2, width, margin=1)
        vertical = _weights((_middles(rows) - y1) / (y2 - y1) * size - 0.5, size)
        horizontal = _weights((_middles(columns) - x1) / (x2 - x1) * size - 0.5, size)
        mask[rows, columns] = vertical @ inside @ horizontal.T >= threshold
    return masks


def upsample_masks(
    logits: np.ndarray, stride: int, mask_size: np.ndarray, height: int, width: int, threshold: float = 0.5
) -> np.ndarray:
    """Masks from logits on a coarse grid over the network's input (RTMDet-Ins).

    The grid is enlarged by its stride, then to ``mask_size``, and what is beyond the image is cut off.

    Args:
        logits: (n, h, w).
        stride: Pixels of the network's input for one of the grid.
        mask_size: Height and width of the whole input in pixels of the image.
        height: Of the image.
        width: Of the image.
        threshold: A pixel belongs to a mask above this probability.

    Returns:
        (n, height, width) bool.
    """
    vertical = _resizing(logits.shape[1], stride, int(mask_size[0]), height)
    horizontal = _resizing(logits.shape[2], stride, int(mask_size[1]), width)
    limit = np.log(threshold / (1 - threshold))
    return (
        np.stack([vertical @ one @ horizontal.T > limit for one in logits])
        if len(logits)
        else np.zeros((0, height, width), dtype=bool)
    )


def assemble_masks(
    shapes: np.ndarray,
    saliency: np.ndarray,
    map_boxes: np.ndarray,
    plane: np.ndarray,
    map_scale: np.ndarray,
    height: int,
    width: int,
    threshold: float = 0.4,
) -> np.ndarray:
    """Masks from a shape for each object and a saliency map of the image (CenterMask with points).

    The probability of a pixel is that of the shape, stretched over the box, times that of the saliency.

    Args:
        shapes: (n, S, S) logits.
        saliency: (M, h, w) logits.
        map_boxes: (n, 4) x1, y1, x2, y2 in cells of the saliency map.
        plane: (n,) which of the M maps belongs to each object.
        map_scale: Cells of the saliency map for one pixel of the image, x and y.
        height: Of the image.
        width: Of the image.
        threshold: A pixel belongs to a mask from this probability on.

    Returns:
        (n, height, width) bool.
    """
    masks = np.zeros((len(shapes), height, width), dtype=bool)
    size, (map_height, map_width) = shapes.shape[-1], saliency.shape[-2:]
    scale_x, scale_y = np.asarray(map_scale, np.float64)
    for mask, shape, (x1, y1, x2, y2), own in zip(masks, shapes, map_boxes.astype(np.float64), plane, strict=True):
        rows = _reach(y1 / scale_y, y2 / scale_y, height)
        columns = _reach(x1 / scale_x, x2 / scale_x, width)
        y, x = _middles(rows) * scale_y, _middles(columns) * scale_x
        local = _inside((y - y1) / (y2 - y1) * size, size) @ shape @ _inside((x - x1) / (x2 - x1) * size, size).T
        whole = _inside(y, map_height) @ saliency[own] @ _inside(x, map_width).T
        mask[rows, columns] = _sigmoid(local) * _sigmoid(whole) >= threshold
    return masks


def _reach(first: float, last: float, limit: int, margin: int = 0) -> slice:
    """The pixels that a stretch touches."""
    start = min(max(int(np.floor(first)) - margin, 0), limit)
    return slice(start, max(min(int(np.ceil(last)) + margin, limit), start))


def _middles(pixels: slice) -> np.ndarray:
    return np.arange(pixels.start, pixels.stop) + 0.5


def _weights(place: np.ndarray, size: int) -> np.ndarray:
    """(p, size): how much each of ``size`` cells counts at each place, 0 being the middle of the first."""
    return np.clip(1 - np.abs(place[:, None] - np.arange(size)), 0, None)


def _inside(place: np.ndarray, size: int) -> np.ndarray:
    """As :func:`_weights` for places of which 0 is the edge; beyond the middles of the outermost cells these repeat."""
    return _weights(np.clip(place - 0.5, 0, size - 1), size)


def _resizing(size: int, stride: int, target: int, kept: int) -> np.ndarray:
    """(kept, size): the first rows of an enlargement by the stride and then to the target."""
    enlarged = size * stride
    second = _inside((np.arange(kept) + 0.5) * (enlarged / target), enlarged)
    return second @ _inside((np.arange(enlarged) + 0.5) / stride, size)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * x))
