"""The classes of the data sets against those of the model and of the annotation files."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from mmengine.config import Config

from mmkd.utils.student import student_config
from mmkd.utils.walk import walk

from .datasets import DatasetConfig
from .files import student_key

__all__ = ['category_problems', 'class_counts', 'class_problems']


def class_problems(dataset: DatasetConfig, cfg: Config) -> Iterator[str]:
    """A class list that is no list, or of another length than the student's heads predict."""
    key = dataset.key
    classes = (dataset.cfg.get('metainfo') or {}).get('classes')
    if isinstance(classes, str) and not Path(classes).is_file():
        yield f'{key}.metainfo.classes: {classes!r} is a string, a tuple was expected: ({classes!r},), with the comma'
        return
    names = dataset.names
    if names is None:
        return
    shown = ', '.join(map(repr, names[:4])) + (', ...' if len(names) > 4 else '')
    for model_key, number in class_counts(student_config(cfg.model), student_key(cfg.model)):
        if number != len(names):
            yield (
                f'{model_key}={number}, but {key} has {len(names)} classes ({shown}); set {model_key}={len(names)} '
                f'or {key}.metainfo.classes'
            )


def class_counts(model: dict, model_key: str) -> Iterator[tuple[str, int]]:
    """``num_classes`` of every head that predicts the data set's classes."""
    for key, value in walk(model, model_key):
        parts = key.split('.')
        # an RPN tells object from not-object, a semantic branch has the classes of another task
        other = any(p.startswith(('rpn', 'semantic', 'backbone', 'teacher', 'train_cfg', 'test_cfg')) for p in parts)
        if parts[-1] == 'num_classes' and isinstance(value, int) and not other:
            yield key, value


def category_problems(dataset: DatasetConfig, categories: Collection[str]) -> Iterator[str]:
    """Classes that are no category of the annotation file: a training would never see an object of them."""
    absent = [name for name in dataset.names or [] if name not in categories]
    if absent:
        yield (
            f'{dataset.key}.metainfo.classes: {absent[0]!r} is not a category of {dataset.ann_file!r}, which has '
            f'{", ".join(map(repr, list(categories)[:8]))}; {len(absent)} of {len(dataset.names)} classes are missing '
            'there'
        )
