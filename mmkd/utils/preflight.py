"""Checks of a config against the disk, before anything is built.

Each finds a mistake that would otherwise come up minutes later inside a data worker, or never: a class list that does
not match the annotation file gives a training without a single object, and no error.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config

from .cli import UserError, walk
from .student import is_distillation, student_config

__all__ = ['check_test_config', 'check_train_config', 'class_names']

LARGE_FILE = 64 * 2**20  # an annotation file above this is looked into at its ends only
PEEK = 2**18


def check_train_config(cfg: Config) -> None:
    """Checks data paths, classes and checkpoint files of a training config.

    Raises:
        UserError: With every problem found, one a line, each naming the config key and how to set it.
    """
    loaders = ['train_dataloader'] + (['val_dataloader'] if cfg.get('val_cfg') is not None else [])
    evaluators = ['val_evaluator'] if cfg.get('val_cfg') is not None else []
    for key in ('train_dataloader', 'train_cfg', 'model'):
        if not cfg.get(key):
            raise UserError(f'{key}: missing from the config; is this a config of a model to be trained?')
    problems = [*_data_problems(cfg, loaders, evaluators), *_checkpoint_problems(cfg)]
    _raise(problems)


def check_test_config(cfg: Config) -> None:
    """Checks data paths and classes of a config that is going to be tested; raises as the training check does."""
    for key in ('test_dataloader', 'test_evaluator', 'model'):
        if not cfg.get(key):
            raise UserError(f'{key}: missing from the config; nothing to test')
    _raise(list(_data_problems(cfg, ['test_dataloader'], ['test_evaluator'])))


def _raise(problems: list[str]) -> None:
    if problems:
        raise UserError('\nerror: '.join(dict.fromkeys(problems)))


# ---- files -----------------------------------------------------------------------------------------------------------


def _data_problems(cfg: Config, loaders: list[str], evaluators: list[str]) -> Iterator[str]:
    root = cfg.get('data_root')
    if _is_local(root) and not Path(root).is_dir() and _is_used(cfg, loaders, root):
        yield _missing('data_root', root, cfg)  # one line in place of one for each file below it
        return
    for loader in loaders:
        for key, dataset in _datasets(cfg[loader].get('dataset') or {}, f'{loader}.dataset'):
            files = list(_file_problems(key, dataset, cfg))
            yield from files
            yield from _class_problems(cfg, key, dataset, read_annotations=not files)
            yield from [] if files else _mask_problems(key, dataset)
    for name in evaluators:
        metrics = cfg.get(name) or []
        for metric in metrics if isinstance(metrics, (list, tuple)) else [metrics]:
            if isinstance(metric, dict) and _is_local(metric.get('ann_file')) and not Path(metric.ann_file).is_file():
                yield _missing(f'{name}.ann_file', metric.ann_file, cfg)


def _is_used(cfg: Config, loaders: list[str], root: str) -> bool:
    values = [value for loader in loaders for _, value in walk(cfg[loader].get('dataset') or {}, '')]
    return any(isinstance(value, str) and value.startswith(root) for value in values)


def _datasets(dataset: dict, key: str) -> Iterator[tuple[str, dict]]:
    """The data sets inside wrappers such as RepeatDataset and ConcatDataset, with their config keys."""
    if isinstance(dataset.get('dataset'), dict):
        yield from _datasets(dataset['dataset'], f'{key}.dataset')
    elif isinstance(dataset.get('datasets'), (list, tuple)):
        for i, part in enumerate(dataset['datasets']):
            yield from _datasets(part, f'{key}.datasets.{i}')
    elif dataset:
        yield key, dataset


def _file_problems(key: str, dataset: dict, cfg: Config) -> Iterator[str]:
    ann_file = _joined(dataset, dataset.get('ann_file'))
    if ann_file is not None and not Path(ann_file).is_file():
        yield _missing(f'{key}.ann_file', ann_file, cfg)
    prefixes = dataset.get('data_prefix') or {}
    for name, prefix in prefixes.items() if isinstance(prefixes, dict) else [('', prefixes)]:
        folder = _joined(dataset, prefix)
        if folder is not None and not Path(folder).exists():
            yield _missing(f'{key}.data_prefix.{name}'.rstrip('.'), folder, cfg)
        elif folder is not None and name == 'img' and ann_file is not None and Path(ann_file).is_file():
            first = _first_file_name(ann_file)
            if first is not None and not Path(folder, first).is_file():
                yield (
                    f'{key}.data_prefix.{name}: {folder!r} has no {first!r}, the first image of {ann_file!r}; '
                    'the two do not belong together'
                )


def _joined(dataset: dict, path) -> str | None:
    """``path`` below the data set's root as mmengine joins it, or None where there is nothing to check on this disk."""
    if not _is_local(path):
        return None
    root = dataset.get('data_root') or ''
    return path if os.path.isabs(path) else os.path.join(root, path) if _is_local(root) else None if root else path


def _is_local(path) -> bool:
    return isinstance(path, str) and bool(path) and '://' not in path


def _missing(key: str, path: str, cfg: Config) -> str:
    ways = [f'--cfg-options {key}=...']
    if cfg.get('data_root') and str(path).startswith(cfg.data_root):
        ways = ['--cfg-options data_root=DIR'] + ([] if key == 'data_root' else ways)
        if not os.path.isabs(cfg.data_root):
            ways.insert(0, 'MMDET_DATASETS=DIR')
    return f'{key}: {path!r} does not exist{_from(path)}; set it with {" or ".join(ways)}'


def _from(path: str) -> str:
    return '' if os.path.isabs(path) else f' (looked for from {Path.cwd()})'


def _checkpoint_problems(cfg: Config) -> Iterator[str]:
    yield from _checkpoint_problem('--resume' if cfg.get('resume') else 'load_from', cfg.get('load_from'), '')
    teacher = cfg.model.get('teacher') if isinstance(cfg.model.get('teacher'), dict) else {}
    by_environment = ', or MMKD_TEACHER_CKPT=FILE in the configs that come with mmkd'
    yield from _checkpoint_problem('model.teacher.ckpt', teacher.get('ckpt'), by_environment)
    yield from _checkpoint_problem('model.teacher_ckpt', cfg.model.get('teacher_ckpt'), by_environment)
    for key, value in walk(student_config(cfg.model), _student_key(cfg.model)):
        if key.endswith('init_cfg.checkpoint'):
            part = key.rsplit('.', 1)[0]
            ways = f', MMKD_PRETRAINED=FOLDER in the configs that come with mmkd, or {part}=None for random weights'
            yield from _checkpoint_problem(key, value, ways)


def _checkpoint_problem(key: str, path, other_ways: str) -> Iterator[str]:
    if _is_local(path) and not Path(path).is_file():
        how = '' if key == '--resume' else f'; set it with --cfg-options {key}=FILE{other_ways}'
        yield f'{key}: checkpoint {path!r} is not a file{_from(path)}{how}'


def _student_key(model: dict) -> str:
    """The config key under which the plain student stands."""
    if not is_distillation(model):
        return 'model'
    return 'model.student' if model.get('student') is not None else 'model.architecture'


# ---- classes ---------------------------------------------------------------------------------------------------------


def _class_problems(cfg: Config, key: str, dataset: dict, read_annotations: bool) -> Iterator[str]:
    metainfo = dataset.get('metainfo') or {}
    if isinstance(metainfo.get('classes'), str) and not Path(metainfo['classes']).is_file():
        yield (
            f'{key}.metainfo.classes: {metainfo["classes"]!r} is a string, a tuple was expected: '
            f'({metainfo["classes"]!r},), with the comma'
        )
        return
    names = class_names(dataset, cfg.get('default_scope'))
    if names is None:
        return
    shown = ', '.join(map(repr, names[:4])) + (', ...' if len(names) > 4 else '')
    for model_key, number in _class_counts(student_config(cfg.model), _student_key(cfg.model)):
        if number != len(names):
            yield (
                f'{model_key}={number}, but {key} has {len(names)} classes ({shown}); set {model_key}={len(names)} '
                f'or {key}.metainfo.classes'
            )
    ann_file = _joined(dataset, dataset.get('ann_file'))
    if read_annotations and ann_file and ann_file.endswith('.json'):
        categories = _categories(ann_file)
        if categories is not None:
            absent = [name for name in names if name not in categories]
            if absent:
                yield (
                    f'{key}.metainfo.classes: {absent[0]!r} is not a category of {ann_file!r}, which has '
                    f'{", ".join(map(repr, categories[:8]))}; {len(absent)} of {len(names)} classes are missing there'
                )


def _mask_problems(key: str, dataset: dict) -> Iterator[str]:
    """Where masks are to stay polygons mmdet ignores every object with a run-length mask, without a word."""
    if dataset.get('test_mode'):
        return
    loaders = [
        i
        for i, step in enumerate(dataset.get('pipeline') or [])
        if str(step.get('type')).endswith('LoadAnnotations')
        and step.get('with_mask')
        and not step.get('poly2mask', True)
    ]
    ann_file = _joined(dataset, dataset.get('ann_file'))
    if not loaders or not ann_file or not ann_file.endswith('.json') or Path(ann_file).stat().st_size > LARGE_FILE:
        return
    objects = [a for a in _read_json(ann_file).get('annotations', []) if not a.get('iscrowd')]
    rle = sum(isinstance(a.get('segmentation'), dict) for a in objects)
    if rle:
        yield (
            f'{key}.pipeline.{loaders[0]}.poly2mask=False, but {rle} of {len(objects)} objects of {ann_file!r} have '
            f'run-length masks, which would be ignored; set {key}.pipeline.{loaders[0]}.poly2mask=True'
        )


def _keeps_polygons(step: dict) -> bool:
    loads_masks = str(step.get('type')).endswith('LoadAnnotations') and step.get('with_mask')
    return bool(loads_masks) and not step.get('poly2mask', True)


def class_names(dataset: dict, default_scope: str | None = None) -> list[str] | None:
    """The class names a data set will have, from its config or from its type; None if they cannot be known."""
    classes = (dataset.get('metainfo') or {}).get('classes')
    if isinstance(classes, str):
        return Path(classes).read_text().split('\n') if Path(classes).is_file() else None
    if classes is None:
        from mmengine.registry import DATASETS, DefaultScope

        kind = dataset.get('type')
        with DefaultScope.overwrite_default_scope(dataset.get('_scope_') or default_scope):
            kind = DATASETS.get(kind) if isinstance(kind, str) else kind
        classes = getattr(kind, 'METAINFO', {}).get('classes')
    return list(classes) if isinstance(classes, (list, tuple)) else None


def _class_counts(model: dict, model_key: str) -> Iterator[tuple[str, int]]:
    """``num_classes`` of every head that predicts the data set's classes."""
    for key, value in walk(model, model_key):
        parts = key.split('.')
        # an RPN tells object from not-object, a semantic branch has the classes of another task
        other = any(p.startswith(('rpn', 'semantic', 'backbone', 'teacher', 'train_cfg', 'test_cfg')) for p in parts)
        if parts[-1] == 'num_classes' and isinstance(value, int) and not other:
            yield key, value


def _categories(ann_file: str) -> list[str] | None:
    """Names of the categories of a COCO file; None if they are not found at the ends of a large one."""
    if Path(ann_file).stat().st_size <= LARGE_FILE:
        content = _read_json(ann_file)
        categories = content.get('categories') if isinstance(content, dict) else None
    else:
        match = re.search(r'"categories"\s*:\s*(\[.*?\])', _ends(ann_file), re.S)
        categories = json.loads(match[1]) if match else None
    if not isinstance(categories, list):
        return None
    return [category.get('name') for category in categories]


def _first_file_name(ann_file: str) -> str | None:
    if not ann_file.endswith('.json'):
        return None
    if Path(ann_file).stat().st_size <= LARGE_FILE:
        content = _read_json(ann_file)
        images = content.get('images') if isinstance(content, dict) else None
        return images[0].get('file_name') if images else None
    match = re.search(r'"file_name"\s*:\s*"([^"\\]+)"', _ends(ann_file))
    return match[1] if match else None


_read = {}


def _read_json(path: str):
    """Reads a file once however many checks look into it.

    Raises:
        UserError: It is not JSON.
    """
    stamp = (path, os.stat(path).st_mtime_ns)
    if stamp not in _read:
        try:
            _read[stamp] = json.loads(Path(path).read_text())
        except ValueError as error:
            raise UserError(f'{path}: not a valid JSON file: {error}') from error
    return _read[stamp]


def _ends(path: str) -> str:
    with open(path, 'rb') as file:
        head = file.read(PEEK)
        file.seek(max(0, os.path.getsize(path) - PEEK))
        return (head + b'\n' + file.read()).decode(errors='replace')
