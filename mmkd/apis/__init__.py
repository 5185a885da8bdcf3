"""What the ``mmkd`` command and ``tools/`` call, from Python.

The names are loaded on first use, so that a command line's ``--help``, or its message about a package that is missing,
does not wait for PyTorch.
"""

from importlib import import_module

_PUBLIC = {
    'load_config': 'config',
    'read_config': 'config',
    'test': 'testing',
    'train': 'training',
}

__all__ = list(_PUBLIC)


def __getattr__(name: str):
    if name in _PUBLIC:
        return getattr(import_module(f'{__name__}.{_PUBLIC[name]}'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__():
    return sorted([*globals(), *_PUBLIC])
