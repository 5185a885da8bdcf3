"""Checks of a config against the disk, before anything is built.

Each finds a mistake that would otherwise come up minutes later inside a data worker, or never: a class list that does
not match the annotation file gives a training without a single object, and no error.
"""

from __future__ import annotations

from collections.abc import Iterator

from mmengine.config import Config

from mmkd.utils.errors import UserError

from ..errors import warn
from .annotations import annotation_problems
from .classes import class_problems
from .datasets import class_names, datasets_of
from .files import checkpoint_problems, evaluator_problems, file_problems, root_problem
from .settings import loader_problems, training_problems

__all__ = ['check_test_config', 'check_train_config', 'class_names']


def check_train_config(cfg: Config) -> None:
    """Checks data, classes, checkpoint files and numbers of a training config.

    Raises:
        UserError: With every problem found, one a line, each naming the config key and how to set it.
    """
    loaders = ['train_dataloader'] + (['val_dataloader'] if cfg.get('val_cfg') is not None else [])
    evaluators = ['val_evaluator'] if cfg.get('val_cfg') is not None else []
    for key in ('train_dataloader', 'train_cfg', 'model'):
        if not cfg.get(key):
            raise UserError(f'{key}: missing from the config; is this a config of a model to be trained?')
    _raise([*training_problems(cfg), *_data_problems(cfg, loaders, evaluators), *checkpoint_problems(cfg)])


def check_test_config(cfg: Config) -> None:
    """Checks data paths and classes of a config that is going to be tested; raises as the training check does."""
    for key in ('test_dataloader', 'test_evaluator', 'model'):
        if not cfg.get(key):
            raise UserError(f'{key}: missing from the config; nothing to test')
    _raise(list(_data_problems(cfg, ['test_dataloader'], ['test_evaluator'])))


def _raise(problems: list[str]) -> None:
    if problems:
        raise UserError('\nerror: '.join(dict.fromkeys(problems)))


def _data_problems(cfg: Config, loaders: list[str], evaluators: list[str]) -> Iterator[str]:
    for loader in loaders:
        yield from loader_problems(cfg, loader)
    root = root_problem(cfg, loaders)
    if root is not None:
        yield root
        return
    for loader in loaders:
        for dataset in datasets_of(cfg, loader):
            problems = list(file_problems(dataset, cfg))
            yield from problems
            yield from class_problems(dataset, cfg)
            if not problems:
                yield from annotation_problems(dataset, warn)
    yield from evaluator_problems(cfg, evaluators)
