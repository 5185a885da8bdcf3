"""Every workaround for the stack mmkd stands on. Each says what breaks, on which versions, and why this mends it.

Nothing here is imported before it is needed: this module itself uses the standard library only.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.util
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pickle import UnpicklingError


def register_config_scope() -> None:
    """Makes ``_base_ = 'mmkd::...'`` resolve.

    mmengine (0.10.7 and onedl 0.10.12) resolves ``package::`` only for the packages of a fixed table,
    ``MODULE2PACKAGE``. The table also maps ``mmseg`` to a distribution ``mmsegmentation`` that the OneDL line names
    differently, which breaks ``mmseg::``. Both are mended in the table, when mmengine is first imported.
    """
    _after_import('mmengine.config.utils', _mend_module_table)


def _mend_module_table(config_utils) -> None:
    table = config_utils.MODULE2PACKAGE
    table.setdefault('mmkd', 'mmkd')
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        distribution(table['mmseg'])
    except PackageNotFoundError:
        if importlib.util.find_spec('mmseg'):
            table['mmseg'] = 'mmseg'


def _after_import(name: str, callback: Callable) -> None:
    """Calls ``callback(module)`` once module ``name`` is imported; at once if it already is."""
    if name in sys.modules:
        callback(sys.modules[name])
    else:
        sys.meta_path.insert(0, _PostImportFinder(name, callback))


class _PostImportFinder(importlib.abc.MetaPathFinder):
    """Finds one module through the ordinary finders and runs a callback after it was executed, once."""

    def __init__(self, name: str, callback: Callable):
        self.name = name
        self.callback = callback

    def find_spec(self, fullname, path=None, target=None):
        if fullname != self.name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_call(module):
            execute(module)
            self.callback(module)

        spec.loader.exec_module = execute_and_call
        return spec


# --------------------------------------------------------------------------- loading checkpoints without running code


def safe_globals():
    """Context in which ``torch.load(..., weights_only=True)`` accepts what a training run of mmengine saves.

    PyTorch 2.6 made ``weights_only=True`` the default. The message hub in each checkpoint holds log buffers, numpy
    scalars and config dicts, which it refuses.
    """
    import torch

    if hasattr(torch.serialization, 'safe_globals'):
        return torch.serialization.safe_globals(_allowed_globals())
    return nullcontext()  # PyTorch before 2.5 has no allow-list: files with such objects are refused


@functools.cache
def _allowed_globals() -> list[tuple[Callable, str]]:
    """The allow-list, with the names under which the objects stand in files of numpy 1 and of numpy 2."""
    import numpy as np
    from mmengine.config import ConfigDict
    from mmengine.logging import HistoryBuffer

    core = np._core if hasattr(np, '_core') else np.core
    allowed = [
        (HistoryBuffer, 'mmengine.logging.history_buffer.HistoryBuffer'),
        (_statistic_of_history_buffer, 'builtins.getattr'),
        (ConfigDict, 'mmengine.config.config.ConfigDict'),
        (slice, 'builtins.slice'),
        (np.ndarray, 'numpy.ndarray'),
        (np.dtype, 'numpy.dtype'),
    ]
    for package in ('numpy.core', 'numpy._core'):
        allowed.append((core.multiarray._reconstruct, f'{package}.multiarray._reconstruct'))
        allowed.append((core.multiarray.scalar, f'{package}.multiarray.scalar'))
    for dtype in {type(np.dtype(code)) for code in '?bhilqBHILQefdgFDGSU'}:
        allowed.append((dtype, f'{dtype.__module__}.{dtype.__qualname__}'))
    return allowed


def _statistic_of_history_buffer(owner: type, name: str) -> Callable:
    """Stands in for ``getattr`` while a file is read. Log buffers store their statistics as attributes of their class.

    The real ``getattr`` on an allow-list would give a file access to anything reachable from an allowed object.
    """
    from mmengine.logging import HistoryBuffer

    if owner is not HistoryBuffer or name.startswith('_'):
        raise UnpicklingError(f'Unsupported global: a log buffer may not refer to attribute {name!r} of {owner!r}')
    return getattr(owner, name)
