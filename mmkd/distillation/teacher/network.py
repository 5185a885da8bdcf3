"""From what a config says about a network to the network."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from mmkd.registry import MODELS
from mmkd.utils.student import student_config

__all__ = ['build_network', 'device_of', 'is_mmengine_model', 'resolve_network', 'run_network']


def resolve_network(network: Mapping, key: str) -> ConfigDict:
    """Returns the full model config of a network that is given in full or by ``cfg_path``.

    Args:
        network: A model config with ``type``; or ``cfg_path``, the file of a config (``'mmdet::retinanet/...py'`` or a
            path on disk), with any further keys merged into the ``model`` of that config. Where that is a distillation
            config, its student is meant. ``pretrained=True`` starts from the weights that the package's model index
            names for the config.
        key: The config key this was given under, for messages.

    Raises:
        TypeError: ``network`` is no dict.
        ValueError: Neither ``type`` nor ``cfg_path`` is given, or the file cannot be read or describes no model.
    """
    if not isinstance(network, Mapping):
        raise TypeError(f'{key}: a model, its config or a dict with cfg_path was expected, got {network!r}')
    network = ConfigDict(network)
    if 'cfg_path' not in network:
        if 'type' not in network:
            raise ValueError(f'{key}: type or cfg_path was expected, the keys given are {sorted(network)}')
        return network

    cfg_path, scope = network.pop('cfg_path'), network.pop('_scope_', None)
    # a file name or None is not about this, but the argument of that name of mmdet's and mmseg's models
    pretrained = network.pop('pretrained') if isinstance(network.get('pretrained'), bool) else False
    cfg = _read_config(cfg_path, pretrained, f'{key}.cfg_path')
    if not isinstance(cfg.get('model'), Mapping):
        raise ValueError(f'{key}.cfg_path: {cfg_path!r} has no model')
    model = student_config(cfg.model)
    preprocessor = model.get('data_preprocessor') or cfg.get('data_preprocessor')
    if network:
        whole = Config(dict(model=model))
        whole.merge_from_dict(dict(model=network))
        model = whole.model
    if preprocessor is not None:
        model.setdefault('data_preprocessor', preprocessor)
    package = cfg_path.split('::')[0] if '::' in cfg_path else None
    model.setdefault('_scope_', cfg.get('default_scope') or package or scope)
    if pretrained:
        model.init_cfg = dict(type='Pretrained', checkpoint=cfg.model_path)
    return model


def _read_config(cfg_path: str, pretrained: bool, key: str) -> Config:
    from mmengine.hub import get_config

    if '::' not in cfg_path and not Path(cfg_path).is_file():
        raise ValueError(f'{key}: {cfg_path!r} is not a file (looked for from {Path.cwd()})')
    try:
        return get_config(cfg_path, pretrained) if '::' in cfg_path else Config.fromfile(cfg_path)
    except Exception as error:  # an assertion, a syntax error, a missing package: the user needs the key in any case
        raise ValueError(f'{key}: {cfg_path!r} cannot be read: {type(error).__name__}: {error}') from error


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
