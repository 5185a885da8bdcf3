"""Where the borders between classes run in a map."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


@torch.no_grad()
def boundary_map(labels: Tensor, width: int = 1, ignore_index: int = 255) -> Tensor:
    """The pixels that have one of another class at most ``width`` rows and columns away.

    Args:
        labels: Class indices (N, H, W).
        width: How far the band reaches to either side of a border, at least 1.
        ignore_index: Pixels of this label have no class: they are not in the band and make none.

    Returns:
        (N, H, W), bool.

    Raises:
        ValueError: ``width`` or the shape of ``labels`` is wrong.

    Example:
        >>> import torch
        >>> boundary_map(torch.tensor([[[0, 0, 0, 1, 1]]]))
        tensor([[[False, False,  True,  True, False]]])
    """
    if isinstance(width, bool) or not isinstance(width, int) or width < 1:
        raise ValueError(f'boundary: width: expected a whole number of at least 1, but got {width!r}')
    if labels.dim() != 3:
        raise ValueError(f'boundary: expected class maps (N, H, W), but got {tuple(labels.shape)}')
    valid = labels != ignore_index
    values = labels.float()[:, None]
    outside = float('-inf')
    largest, negative_smallest = (
        F.max_pool2d(torch.where(valid[:, None], v, outside), 2 * width + 1, stride=1, padding=width)[:, 0]
        for v in (values, -values)
    )
    return valid & (largest > -negative_smallest)


@torch.no_grad()
def predicted_classes(logits: Tensor, activation: str) -> Tensor:
    """The class (N, H, W) that logits (N, C, H, W) predict; with sigmoid, C (background) where none is likely.

    Raises:
        ValueError: They are no map.
    """
    if logits.dim() != 4:
        raise ValueError(f'boundary: expected logits (N, C, H, W), but got {tuple(logits.shape)}')
    score, label = logits.max(1)
    return label if activation == 'softmax' else torch.where(score > 0, label, logits.shape[1])
