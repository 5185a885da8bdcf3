"""From what a config says of a network to the config of that network: read from a file, or out of a distillation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mmengine.config import Config, ConfigDict

__all__ = ['is_distillation', 'resolve_network', 'student_config']


def is_distillation(model: Mapping) -> bool:
    """Whether a model config describes a student with a teacher (mmkd's short form or mmrazor's vocabulary)."""
    return any(isinstance(model.get(key), Mapping) for key in ('student', 'architecture')) and any(
        key in model for key in ('teacher', 'distill', 'distiller')
    )


def student_config(model: ConfigDict) -> ConfigDict:
    """Returns the config of the student alone; a config without a teacher is returned as it is.

    Predictions come from the student only, so this is all that testing needs: no teacher, no mmrazor.

    Args:
        model: ``cfg.model``; its student may be given in full or by ``cfg_path``.
    """
    if not is_distillation(model):
        return model
    student = model.get('student') or model.get('architecture')
    if 'cfg_path' in student:
        student = resolve_network(student, 'model.student')
    student = ConfigDict(student)
    if model.get('data_preprocessor') is not None:
        student.setdefault('data_preprocessor', model['data_preprocessor'])
    if '_scope_' in model:
        student.setdefault('_scope_', model['_scope_'])
    return student


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
