"""Helpers around runs: registering everything, reading checkpoints.

The names are loaded on first use, so that a command line's ``--help``, or its message about a package that is missing,
does not wait for PyTorch.
"""

from .lazy import lazy_names

_PUBLIC = {
    'check_state_dict_fits': 'state_dict',
    'load_checkpoint_file': 'checkpoint',
    'register_all_modules': 'setup_env',
    'state_dict_of': 'state_dict',
    'strip_prefix': 'state_dict',
}

__all__ = list(_PUBLIC)
__getattr__, __dir__ = lazy_names(__name__, _PUBLIC)
