"""Sizes that are numbers in a run and tensors while a graph is traced."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ['size_tensor', 'sizes_like']


def size_tensor(size: float | Tensor) -> Tensor:
    """A size as a tensor without dimensions. A tensor stays what it is, which keeps it a variable of the graph."""
    return size if isinstance(size, Tensor) else torch.tensor(size)


def sizes_like(sizes: Sequence[float | Tensor], like: Tensor) -> Tensor:
    """Sizes as one tensor (n,) of the type and on the device of another."""
    return torch.stack([size_tensor(size).to(like.dtype) for size in sizes]).to(like.device)
