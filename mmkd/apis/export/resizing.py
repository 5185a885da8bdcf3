"""Resizing of images inside of a graph, as OpenCV and Pillow do it, whatever runs the graph.

The ``Resize`` of ONNX would be shorter, but runtimes differ in it: OpenVINO ignores ``antialias``, and that of
onnxruntime weighs the outermost pixels otherwise than Pillow.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmkd.models.utils.traced_sizes import size_tensor

__all__ = ['resize_like_opencv', 'resize_like_pillow']

HALF = 0.5001  # what is half a step in integers is a little less in float32, and has to be rounded up as well


def resize_like_opencv(images: Tensor, height: int | Tensor, width: int | Tensor) -> Tensor:
    """Bilinear interpolation between the four nearest pixels, however small the result (``cv2.INTER_LINEAR``).

    Args:
        images: (N, C, H, W), whole numbers from 0 to 255 in float32.
        height: Of the result.
        width: Of the result.

    Returns:
        (N, C, height, width), whole numbers. OpenCV counts in integers, and so does this: one in thousands differs.
    """
    left, right, beside = _neighbours(images.shape[3], width)
    top, bottom, below = _neighbours(images.shape[2], height)
    rows = ((images[..., left] * (1 - beside) + images[..., right] * beside) * 128).floor()
    below = below[:, None]
    upper = (rows[:, :, top] * ((1 - below) / 32)).floor()
    lower = (rows[:, :, bottom] * (below / 32)).floor()
    return ((upper + lower + 2) / 4).floor()


def resize_like_pillow(images: Tensor, height: int | Tensor, width: int | Tensor) -> Tensor:
    """Bilinear interpolation that takes in every pixel where an image shrinks (``PIL.Image.BILINEAR``).

    Args, result: As :func:`resize_like_opencv`.
    """
    rows = (images @ _triangles(images.shape[3], width).T + HALF).floor()
    return (_triangles(images.shape[2], height) @ rows + HALF).floor()


def _neighbours(size: int | Tensor, target: int | Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The pixels on both sides of each of the result (target,), and the weight of the second."""
    size, target = size_tensor(size), size_tensor(target)
    place = (torch.arange(target) + 0.5) * (size / target) - 0.5
    place = torch.minimum(place.clamp(min=0), (size - 1).to(place))
    first = place.floor().long()
    second = torch.minimum(first + 1, size - 1)
    return first, second, ((place - first) * 2048).round() / 2048  # the steps that OpenCV's weights have


def _triangles(size: int | Tensor, target: int | Tensor) -> Tensor:
    """(target, size): the weights of the pixels in each of the result."""
    size, target = size_tensor(size), size_tensor(target)
    ratio = (size / target).float()
    reach = ratio.clamp(min=1)
    centre = (torch.arange(target) + 0.5) * ratio
    weights = (1 - ((torch.arange(size) + 0.5) - centre[:, None]).abs() / reach).clamp(min=0)
    return weights / weights.sum(1, keepdim=True)
