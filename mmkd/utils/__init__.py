"""Helpers around runs: registering everything, reading checkpoints."""

from .checkpoint import check_state_dict_fits, load_checkpoint_file, state_dict_of, strip_prefix
from .setup_env import register_all_modules

__all__ = [
    'check_state_dict_fits',
    'load_checkpoint_file',
    'register_all_modules',
    'state_dict_of',
    'strip_prefix',
]
