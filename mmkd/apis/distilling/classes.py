"""Whose classes are whose, and a student's heads for other classes than its config has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mmengine.config import Config

from mmkd.apis.config import read_config
from mmkd.apis.errors import user_errors
from mmkd.apis.preflight.classes import class_counts
from mmkd.apis.preflight.datasets import datasets_of
from mmkd.utils.checkpoint import load_checkpoint_file
from mmkd.utils.errors import CheckpointError

__all__ = ['classes_of', 'same_classes', 'with_classes']


def classes_of(cfg: Config) -> list[str] | None:
    """The class names of a config's training data; None where they cannot be known."""
    if not cfg.get('train_dataloader'):
        return None
    return next((dataset.names for dataset in datasets_of(cfg, 'train_dataloader')), None)


def same_classes(plain: Config, teacher: Mapping[str, Any]) -> bool | None:
    """Whether a teacher knows the student's classes, by their names; None where these are not known.

    Those of the teacher are in its checkpoint, or are those of its config's data.
    """
    ours, theirs = classes_of(plain), _classes_of_teacher(teacher)
    return None if ours is None or theirs is None else ours == theirs


def _classes_of_teacher(teacher: Mapping[str, Any]) -> list[str] | None:
    if teacher.get('ckpt'):
        try:
            meta = load_checkpoint_file(teacher['ckpt']).get('meta') or {}
        except (CheckpointError, FileNotFoundError, AttributeError):  # said when it is loaded
            meta = {}
        classes = (meta.get('dataset_meta') or {}).get('classes') or meta.get('CLASSES')
        if classes:
            return list(classes)
    return classes_of(read_config(teacher['cfg_path'])) if 'cfg_path' in teacher else None


def with_classes(cfg: Config, of_data: Config, kind: str) -> dict[str, Any]:
    """The keys of a student's model that change with the data: numbers of classes, and the size of the batches.

    Args:
        cfg: The student's config.
        of_data: Config of the data.
        kind: Of its labels.
    """
    number = len(of_data.classes)
    changed: dict[str, Any] = {}
    for key, before in class_counts(cfg.model, ''):
        _set(changed, key.strip('.').split('.'), number)
        _weigh_classes_alike(changed, _get(cfg.model, key.split('.')[:-1]), key.split('.')[:-1], before)
        if kind == 'semantic':  # beside it some configs say it again
            parent = key.strip('.').split('.')[:-1]
            with user_errors(f'model.{".".join(parent)}'):
                if _get(cfg.model, parent).get('out_channels') is not None:
                    _set(changed, [*parent, 'out_channels'], number)
    if (cfg.model.get('data_preprocessor') or {}).get('size') is not None:
        changed['data_preprocessor'] = dict(size=tuple(of_data.scale[::-1]))
    return changed


def _weigh_classes_alike(changed: dict[str, Any], head: Mapping, path: list[str], number: int) -> None:
    """Takes weights of the former classes out of a head's losses."""
    for name, loss in head.items():
        weights = loss.get('class_weight') if isinstance(loss, Mapping) else None
        if isinstance(weights, (list, tuple)) and len(weights) == number:
            _set(changed, [*path, name, 'class_weight'], None)


def _set(node: dict[str, Any], path: list[str], value: Any) -> None:
    for name in path[:-1]:
        node = node.setdefault(name, {})  # an item of a list by its number, as mmengine merges it
    node[path[-1]] = value


def _get(node: Any, path: Iterable[str]) -> Any:
    for name in path:
        node = node[int(name)] if isinstance(node, (list, tuple)) else node[name]
    return node
