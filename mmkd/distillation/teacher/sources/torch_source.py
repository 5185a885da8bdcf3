"""Any module that a function makes: ``teacher=dict(source='torch', factory='package.module:function', ...)``."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from torch import nn

MEAN = STD = None  # not known: the student's images as they are, unless they are given


def build(factory: str, **kwargs: Any) -> nn.Module:
    """What the function returns.

    Args:
        factory: ``'package.module:function'``.
        **kwargs: Its arguments.

    Raises:
        ValueError: There is no such function, or it gives no module.
    """
    path, _, name = factory.partition(':')
    try:
        function = getattr(import_module(path), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"teacher.factory: {factory!r}, expected 'package.module:function': {error}") from error
    network = function(**kwargs)
    if not isinstance(network, nn.Module):
        raise ValueError(f'teacher.factory: {factory!r} gives a {type(network).__name__}, a torch module was expected')
    return network
