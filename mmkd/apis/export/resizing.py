"""Resizing of images inside of a graph, pixel by pixel as OpenCV and Pillow do it, whatever runs the graph.

Both count in integers. So does this, in float32, which holds integers up to 2^24, or in 31 bits: in dark images one
step of grey more or less changes what a network finds. The ``Resize`` of ONNX would be shorter, but gives other pixels,
and runtimes differ in it: OpenVINO ignores ``antialias``, and that of onnxruntime weighs the outermost pixels otherwise
than Pillow.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmkd.models.utils.traced_sizes import size_tensor

__all__ = ['resize_like_opencv', 'resize_like_pillow']


def resize_like_opencv(images: Tensor, height: int | Tensor, width: int | Tensor) -> Tensor:
    """Bilinear interpolation between the four nearest pixels, however small the result (``cv2.INTER_LINEAR``).

    Args:
        images: (N, C, H, W), whole numbers from 0 to 255 in float32.
        height: Of the result.
        width: Of the result.

    Returns:
        (N, C, height, width), whole numbers.
    """
    left, right, weight_left, weight_right = _neighbours(images.shape[3], width)
    top, bottom, weight_top, weight_bottom = _neighbours(images.shape[2], height)
    rows = ((images[..., left] * weight_left + images[..., right] * weight_right) / 16).floor()
    upper = _product_without_16_bits(rows[:, :, top], weight_top[:, None])
    lower = _product_without_16_bits(rows[:, :, bottom], weight_bottom[:, None])
    return ((upper + lower + 2) / 4).floor()


def _neighbours(size: int | Tensor, target: int | Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The pixels on both sides of each of the result (target,), and their weights, which are 2048 together."""
    size, target = size_tensor(size), size_tensor(target)
    # The place of pixel i is ((2 i + 1) size - target) / (2 target), which OpenCV has in float32.
    above = (2 * torch.arange(target) + 1) * size + target  # by one pixel, so that none is below zero
    whole = _divided(above, 2 * target)
    place = (whole - 1).float() + (above - whole * 2 * target).float() / (2 * target).float()
    first = place.floor()
    share = place - first  # at the edge both are the outermost pixel, with these weights
    pixels = (torch.minimum(index.clamp(min=0), size - 1) for index in (first.long(), first.long() + 1))
    return *pixels, ((1 - share) * 2048).round(), (share * 2048).round()


def _divided(a: Tensor, b: Tensor) -> Tensor:
    """The whole part of the quotient of whole numbers that are not below zero."""
    return torch.div(a, b, rounding_mode='trunc')


def _product_without_16_bits(x: Tensor, weight: Tensor) -> Tensor:
    """``x * weight >> 16`` for x up to 2^15 and weights up to 2^11, in parts that are below 2^24."""
    high = (x / 32).floor()
    low = ((x - high * 32) * weight / 32).floor()
    return ((high * weight + low) / 2048).floor()


def resize_like_pillow(images: Tensor, height: int | Tensor, width: int | Tensor) -> Tensor:
    """Bilinear interpolation that takes in every pixel where an image shrinks (``PIL.Image.BILINEAR``).

    Exact for images that shrink to a sixteenth at the most.

    Args, result: As :func:`resize_like_opencv`.
    """
    high, low = _weights(images.shape[3], width)
    rows = _rounded(images @ high.T, images @ low.T)
    high, low = _weights(images.shape[2], height)
    return _rounded(high @ rows, low @ rows)


def _weights(size: int | Tensor, target: int | Tensor) -> tuple[Tensor, Tensor]:
    """(target, size) each: the upper and the lower 11 bits of the pixels' weights, which are 2^22 together."""
    size, target = size_tensor(size), size_tensor(target)
    # Between the middles of two pixels, and the reach of one, in parts of 2 target of a pixel.
    middles = (2 * torch.arange(target) + 1)[:, None] * size
    distance = ((2 * torch.arange(size) + 1) * target - middles).abs()
    share = (2 * torch.maximum(size, target) - distance).clamp(min=0)
    total = share.sum(1, keepdim=True)
    # A long division: runtimes that have integers of 32 bits only would overflow in one step.
    high = _divided(share * 2**11, total)
    low = _divided((share * 2**11 - high * total) * 2**12 + total, 2 * total)
    return high.float(), low.float()


def _rounded(high: Tensor, low: Tensor) -> Tensor:
    """``high * 2^11 + low`` divided by 2^22 and rounded."""
    carried = ((low + 2**21) / 2**11).floor()
    return ((high + carried) / 2**11).floor()
