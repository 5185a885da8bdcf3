"""A model without what distributed training puts around it."""

from __future__ import annotations

from mmengine.model import is_model_wrapper
from torch import nn

__all__ = ['unwrapped']


def unwrapped(model: nn.Module) -> nn.Module:
    """The model itself, where ``DistributedDataParallel`` or another of mmengine's wrappers is around it."""
    return model.module if is_model_wrapper(model) else model
