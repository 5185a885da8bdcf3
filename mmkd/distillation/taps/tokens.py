"""Tokens of transformers, laid out as the maps that they stand for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

__all__ = ['check_layout_of_tokens', 'tokens_to_map']

LAYOUTS = ('grid', 'line')


def tokens_to_map(tokens: Tensor, layout: str | Mapping[str, Any]) -> Tensor:
    """Tokens (N, L, C) as a map (N, C, H, W), row by row; what is no tokens stays as it is.

    Args:
        tokens: The tokens.
        layout: ``'grid'``: a square. ``'line'``: (N, C, L, 1), for losses that look at no neighbourhood, such as PKD,
            where the tokens are of several maps. Or ``dict(size=(H, W), num_prefix_tokens=1)``: the size of the grid,
            default a square, and how many tokens before it, such as that of the class, are left out, default none.

    Raises:
        ValueError: They do not fill the grid.

    Example:
        >>> import torch
        >>> tokens_to_map(torch.zeros(2, 1 + 14 * 14, 192), dict(num_prefix_tokens=1)).shape
        torch.Size([2, 192, 14, 14])
    """
    if tokens.dim() != 3:
        return tokens
    options = layout if isinstance(layout, Mapping) else {}
    tokens = tokens[:, options.get('num_prefix_tokens', 0) :]
    number = tokens.shape[1]
    size = (number, 1) if layout == 'line' else options.get('size') or (math.isqrt(number),) * 2
    if size[0] * size[1] != number:
        raise ValueError(
            f'tokens: {number} tokens do not fill a grid of {size[0]} x {size[1]}; '
            'dict(size=(H, W), num_prefix_tokens=...) says of which size it is, and how many come before it'
        )
    return tokens.transpose(1, 2).unflatten(2, tuple(size))


def check_layout_of_tokens(layout: Any, key: str) -> None:
    """Raises ValueError, with the config key, for what is no layout of :func:`tokens_to_map`."""
    known = isinstance(layout, Mapping) and not set(layout) - {'size', 'num_prefix_tokens', '_scope_'}
    if not known and layout not in LAYOUTS:
        raise ValueError(f"{key}: 'grid', 'line' or dict(size=..., num_prefix_tokens=...) was expected, got {layout!r}")
