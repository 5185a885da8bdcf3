"""Helpers around runs: registering everything, reading checkpoints.

The names are loaded on first use, so that a command line's ``--help``, or its message about a package that is missing,
does not wait for PyTorch.
"""

from importlib import import_module

_PUBLIC = {
    'check_state_dict_fits': 'state_dict',
    'load_checkpoint_file': 'checkpoint',
    'register_all_modules': 'setup_env',
    'state_dict_of': 'state_dict',
    'strip_prefix': 'state_dict',
}

__all__ = list(_PUBLIC)


def __getattr__(name: str):
    if name in _PUBLIC:
        return getattr(import_module(f'{__name__}.{_PUBLIC[name]}'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__():
    return sorted([*globals(), *_PUBLIC])
