"""Registering all of mmkd, as ``mmdet.utils.register_all_modules`` does for mmdet."""

from __future__ import annotations

import datetime
import importlib.util
import warnings
from importlib import import_module

from mmkd import compat

__all__ = ['register_all_modules']

_PARTS = (
    'mmkd.models',
    'mmkd.distillation.losses',
    'mmkd.distillation.connectors',
    'mmkd.distillation.discriminators',
    'mmkd.datasets',
    'mmkd.engine',
    'mmkd.evaluation',
    'mmkd.visualization',
)


def register_all_modules(init_default_scope: bool = True) -> None:
    """Imports everything that mmkd registers, so that configs find it under any scope.

    What needs mmrazor is registered where mmrazor is installed; without it everything but distillation works.

    Args:
        init_default_scope: Whether to make ``mmkd`` the default scope. Names that mmkd does not have are then looked up
            in mmdet, and in mmseg; leave it to the config's ``default_scope`` where there is one.

    Raises:
        ImportError: mmengine, mmcv, mmdet or mmseg is missing or unfit. Says what to install.
    """
    compat.check_environment()
    for part in _PARTS:
        import_module(part)
    if importlib.util.find_spec('mmrazor') is not None:
        import_module('mmkd.distillation.algorithms')
    if init_default_scope:
        _make_default_scope('mmkd')


def _make_default_scope(scope: str) -> None:
    from mmengine.registry import DefaultScope

    current = DefaultScope.get_current_instance()
    if current is None or not DefaultScope.check_instance_created(scope):
        DefaultScope.get_instance(scope, scope_name=scope)
    elif current.scope_name != scope:
        warnings.warn(
            f'The default scope is {current.scope_name!r}; register_all_modules makes it {scope!r}. '
            'Give init_default_scope=False to leave it.',
            stacklevel=3,
        )
        DefaultScope.get_instance(f'{scope}-{datetime.datetime.now()}', scope_name=scope)
