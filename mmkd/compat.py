"""Every workaround for the stack mmkd stands on. Each says what breaks, on which versions, and why this mends it.

Nothing here is imported before it is needed: this module itself uses the standard library only.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys
from collections.abc import Callable


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
