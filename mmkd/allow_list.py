"""What a checkpoint may hold beside tensors and plain containers: what a training run of mmengine saves."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pickle import UnpicklingError

__all__ = ['allowed_globals']


@functools.cache
def allowed_globals() -> list[tuple[Callable, str]]:
    """The objects, with the names under which they stand in files of numpy 1 and of numpy 2."""
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
