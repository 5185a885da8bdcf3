"""The files and folders that a config names: data and checkpoints."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config

from mmkd.utils.student import is_distillation, student_config
from mmkd.utils.walk import walk

from .datasets import DatasetConfig, is_local

# in place of checkpoints/
FOLDER_OF_WEIGHTS = ', MMKD_PRETRAINED=FOLDER'

__all__ = ['checkpoint_problems', 'evaluator_problems', 'file_problems', 'root_problem', 'student_key']


def root_problem(cfg: Config, loaders: list[str]) -> str | None:
    """The one line in place of one for each file below a ``data_root`` that is not there."""
    root = cfg.get('data_root')
    if not is_local(root) or Path(root).is_dir():
        return None
    values = [value for loader in loaders for _, value in walk(cfg[loader].get('dataset') or {}, '')]
    used = any(isinstance(value, str) and value.startswith(root) for value in values)
    return _missing('data_root', root, cfg) if used else None


def file_problems(dataset: DatasetConfig, cfg: Config) -> Iterator[str]:
    """What is missing of a data set's annotation file and folders."""
    ann_file = dataset.ann_file
    if ann_file is not None and not Path(ann_file).exists():
        yield _missing(f'{dataset.key}.ann_file', ann_file, cfg)
    for name, folder in dataset.folders():
        key = f'{dataset.key}.data_prefix.{name}'.rstrip('.')
        if not Path(folder).exists():
            yield _missing(key, folder, cfg)
        elif name == 'img_path' and not (ann_file and Path(ann_file).is_file()):
            suffix = dataset.argument('img_suffix')
            if isinstance(suffix, str) and not any(Path(folder).rglob(f'*{suffix}')):
                yield (
                    f'{key}: no file in {folder!r} ends in {suffix!r}; set {key} to the folder of the images, or '
                    f'{dataset.key}.img_suffix to what their names end in'
                )


def evaluator_problems(cfg: Config, names: list[str]) -> Iterator[str]:
    """Annotation files of evaluators that are missing."""
    for name in names:
        metrics = cfg.get(name) or []
        for metric in metrics if isinstance(metrics, (list, tuple)) else [metrics]:
            if isinstance(metric, dict) and is_local(metric.get('ann_file')) and not Path(metric.ann_file).is_file():
                yield _missing(f'{name}.ann_file', metric.ann_file, cfg)


def _missing(key: str, path: str, cfg: Config) -> str:
    ways = [f'--cfg-options {key}=...']
    if cfg.get('data_root') and str(path).startswith(cfg.data_root):
        ways = ['--cfg-options data_root=DIR'] + ([] if key == 'data_root' else ways)
        ways.append('MMKD_DATA=FOLDER of all data sets in the configs that come with mmkd')
    return f'{key}: {path!r} does not exist{_from(path)}; set it with {" or ".join(ways)}'


def _from(path: str) -> str:
    return '' if os.path.isabs(path) else f' (looked for from {Path.cwd()})'


def checkpoint_problems(cfg: Config) -> Iterator[str]:
    """Checkpoint files that are not there, of ``load_from``, ``--resume``, teachers and ``init_cfg``."""
    yield from _checkpoint_problem('--resume' if cfg.get('resume') else 'load_from', cfg.get('load_from'), '')
    teacher = cfg.model.get('teacher') if isinstance(cfg.model.get('teacher'), dict) else {}
    by_environment = f'{FOLDER_OF_WEIGHTS} in the configs that come with mmkd'
    yield from _checkpoint_problem('model.teacher.ckpt', teacher.get('ckpt'), by_environment)
    yield from _checkpoint_problem('model.teacher_ckpt', cfg.model.get('teacher_ckpt'), by_environment)
    for key, value in walk(student_config(cfg.model), student_key(cfg.model)):
        if key.endswith('init_cfg.checkpoint'):
            part = key.rsplit('.', 1)[0]
            ways = f'{FOLDER_OF_WEIGHTS} in the configs that come with mmkd, or {part}=None for random weights'
            yield from _checkpoint_problem(key, value, ways)


def _checkpoint_problem(key: str, path, other_ways: str) -> Iterator[str]:
    if is_local(path) and not Path(path).expanduser().is_file():
        how = '' if key == '--resume' else f'; set it with --cfg-options {key}=FILE{other_ways}'
        yield f'{key}: checkpoint {path!r} is not a file{_from(path)}{how}'


def student_key(model: dict) -> str:
    """The config key under which the plain student stands."""
    if not is_distillation(model):
        return 'model'
    return 'model.student' if model.get('student') is not None else 'model.architecture'
