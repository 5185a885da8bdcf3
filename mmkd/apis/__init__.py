"""What the ``mmkd`` command and ``tools/`` call, from Python.

The names are loaded on first use, so that a command line's ``--help``, or its message about a package that is missing,
does not wait for PyTorch.
"""

from mmkd.utils.lazy import lazy_names

_PUBLIC = {
    'distill': 'distilling',
    'load_config': 'config',
    'read_config': 'config',
    'test': 'testing',
    'train': 'training',
}

__all__ = list(_PUBLIC)
__getattr__, __dir__ = lazy_names(__name__, _PUBLIC)
