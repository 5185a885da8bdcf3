"""Building a network from its config, and running it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from mmkd.registry import MODELS

__all__ = ['build_network', 'device_of', 'is_mmengine_model', 'run_network']


def build_network(model: Mapping) -> nn.Module:
    """Builds a model config in the scope that it comes from."""
    with _scope_of(model):
        return MODELS.build(copy.deepcopy(ConfigDict(model)))  # some models write into their config


def is_mmengine_model(model: Mapping) -> bool:
    """Whether a model config is of an mmengine model, which has a data preprocessor and modes of its forward.

    So is what is not registered: building it says so.
    """
    with _scope_of(model):
        cls = MODELS.get(model['type']) if isinstance(model['type'], str) else model['type']
    return cls is None or isinstance(cls, type) and issubclass(cls, BaseModel)


def _scope_of(model: Mapping) -> AbstractContextManager:
    scope = model.get('_scope_') or (None if DefaultScope.get_current_instance() else 'mmkd')
    return DefaultScope.overwrite_default_scope(scope)


def run_network(model: nn.Module, images: Tensor, data_samples: Sequence | None, mode: str) -> Any:
    """Runs the forward of an mmengine model in a mode, or that of any other module, which takes images alone."""
    return model(images, data_samples, mode=mode) if isinstance(model, BaseModel) else model(images)


def device_of(model: nn.Module) -> torch.device | None:
    """Where the parameters are; None for a model without."""
    parameter = next(model.parameters(), None)
    return None if parameter is None else parameter.device
