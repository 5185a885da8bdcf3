"""Features of a layer as pictures: their principal components as colours, and what resembles what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

__all__ = ['affinity_colours', 'aligned', 'principal_components', 'recorded_features', 'similarity_to', 'to_colours']

GRID = 32  # the longer side of the map whose affinities are computed, each place with each


def recorded_features(network: nn.Module, module: str, level: int, run) -> Tensor:
    """What a layer gives out while a network runs.

    Args:
        network: The network.
        module: The layer's name, such as 'neck' or 'backbone'.
        level: Which of its maps, where it gives several.
        run: Runs the network, without arguments.

    Returns:
        (C, H, W).

    Raises:
        ValueError: There is no such layer or level, or it gives no map.
    """
    modules = dict(network.named_modules())
    if module not in modules:
        names = ', '.join(name for name, _ in network.named_children())
        raise ValueError(f'--features: {module!r} is no layer of {type(network).__name__}, which begins with {names}')
    seen: list[Any] = []
    handle = modules[module].register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    try:
        run()
    finally:
        handle.remove()
    maps = [item for output in seen for item in _maps(output)]
    if not -len(maps) <= level < len(maps):
        raise ValueError(f'--features: {module!r} gives {len(maps)} maps, level {level} was asked for')
    return maps[level].float()


def _maps(output: Any) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output[0]] if output.dim() == 4 else []
    items = output.values() if isinstance(output, dict) else output if isinstance(output, Sequence) else ()
    return [found for item in items for found in _maps(item)]


def principal_components(features: Tensor, number: int = 3) -> Tensor:
    """The first principal components of a map, each of variance 1.

    Args:
        features: (C, H, W).
        number: How many; those that a map of few channels lacks are 0.

    Returns:
        (number, H, W).
    """
    channels, height, width = features.shape
    points = features.reshape(channels, -1).t().double()
    points = points - points.mean(0)
    left, values, _ = torch.linalg.svd(points, full_matrices=False)
    components = left[:, :number] * (values[:number] > 1e-9 * values[:1]) * points.shape[0] ** 0.5
    components = torch.nn.functional.pad(components, (0, number - components.shape[1]))
    return components.t().reshape(number, height, width)


def aligned(components: Tensor, reference: Tensor) -> Tensor:
    """The same components, turned so that they are as like another model's as a rotation makes them.

    Components are defined up to their sign and, where variances are alike, up to a rotation: without this the colours
    of two models could not be compared. (Orthogonal Procrustes, Schoenemann 1966.)

    Args:
        components: (K, H, W).
        reference: (K, H', W'), which is brought to the other's size.
    """
    target = torch.nn.functional.interpolate(reference[None], components.shape[1:], mode='bilinear')[0]
    left, _, right = torch.linalg.svd(target.flatten(1) @ components.flatten(1).t())
    return ((left @ right) @ components.flatten(1)).reshape(components.shape)


def to_colours(components: Tensor, size: tuple[int, int]) -> np.ndarray:
    """Three components as red, green and blue; two standard deviations are the ends of the range.

    Args:
        components: (3, H, W).
        size: Height and width of the picture.

    Returns:
        (height, width, 3) uint8.
    """
    picture = ((components / 4 + 0.5).clamp(0, 1) * 255).round().permute(1, 2, 0).numpy().astype(np.uint8)
    return cv2.resize(np.ascontiguousarray(picture), size[::-1], interpolation=cv2.INTER_NEAREST)


def affinity_colours(features: Tensor) -> Tensor:
    """The principal components of the affinity matrix: places have one colour that resemble the same other places.

    The matrix is what pair-wise distillation compares: the cosine of each place with each (Liu et al. 2019, eq. 3).

    Args:
        features: (C, H, W); averaged down to 32 places on the longer side.

    Returns:
        (3, h, w).
    """
    directions = _directions(_pooled(features))
    affinity = directions.flatten(1).t() @ directions.flatten(1)
    return principal_components(affinity.reshape(-1, *directions.shape[1:]))


def similarity_to(features: Tensor, place: tuple[float, float]) -> np.ndarray:
    """The cosine of every place with one of them, about their mean: what all places have in common is left out.

    Args:
        features: (C, H, W).
        place: x and y, as fractions of width and height.

    Returns:
        (H, W) in [-1, 1].
    """
    directions = _directions(features - features.mean(dim=(1, 2), keepdim=True))
    _, height, width = features.shape
    column, row = min(int(place[0] * width), width - 1), min(int(place[1] * height), height - 1)
    return torch.einsum('chw,c->hw', directions, directions[:, row, column]).numpy()


def _pooled(features: Tensor) -> Tensor:
    factor = max(features.shape[1:]) / GRID
    if factor <= 1:
        return features
    size = [max(round(side / factor), 1) for side in features.shape[1:]]
    return torch.nn.functional.adaptive_avg_pool2d(features, size)


def _directions(features: Tensor) -> Tensor:
    return torch.nn.functional.normalize(features, dim=0)
