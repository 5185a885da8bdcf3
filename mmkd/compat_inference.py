"""The hosts' ways to open a model for inference, with a distillation config. :mod:`mmkd.compat` puts them in place."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from unittest import mock

__all__ = ['open_students']


def open_students(module: ModuleType) -> None:
    """Lets ``init_detector`` of mmdet and ``init_model`` of mmseg open the student of a distillation config.

    Both look for ``config.model.backbone`` or set ``config.model.pretrained`` before they build anything, which the
    config of an algorithm has not (mmdet up to 3.5.1, mmseg up to 1.4.2). Their inferencers need no mend.

    Args:
        module: ``mmdet.apis.inference`` or ``mmseg.apis.inference``.
    """
    for name in ('init_detector', 'init_model'):
        if hasattr(module, name):
            ours = _of_students(getattr(module, name), module)
            setattr(module, name, ours)
            package = importlib.import_module(module.__package__)
            if hasattr(package, name):  # it was imported before mmkd
                setattr(package, name, ours)


def _of_students(original: Callable, module: ModuleType) -> Callable:
    @functools.wraps(original)
    def init(config, *args, **kwargs):
        from mmengine.config import Config

        from mmkd.utils.student import STUDENT_PREFIX, is_distillation, student_of

        if isinstance(config, (str, Path)):
            config = Config.fromfile(config)
        if not isinstance(config, Config) or not isinstance(config.get('model'), Mapping):
            return original(config, *args, **kwargs)
        if not is_distillation(config.model):
            return original(config, *args, **kwargs)
        names = [(r'^module\.', ''), (rf'^{STUDENT_PREFIX}', '')]
        loader = functools.partial(module.load_checkpoint, revise_keys=names)
        with mock.patch.object(module, 'load_checkpoint', loader):
            return original(student_of(config), *args, **kwargs)

    return init
