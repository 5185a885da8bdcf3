"""mmkd: knowledge distillation for dense prediction, as a plugin to the OpenMMLab 2.x stack.

Importing this package is light: it makes ``_base_ = 'mmkd::...'`` resolve and nothing more. The networks, losses and
the distillation core are loaded when first used.
"""

from importlib import import_module

from . import compat
from .version import __version__

# Public names and the modules that hold them, loaded on first access.
_PUBLIC = {
    'VoVNet': 'mmkd.models',
    'CenterMask': 'mmkd.models',
    'AdversarialDistill': 'mmkd.distillation.algorithms',
    'DenseDistill': 'mmkd.distillation.algorithms',
    'distill': 'mmkd.apis.distilling',
}

__all__ = ['__version__', *_PUBLIC]

compat.install_mends()


def __getattr__(name: str):
    if name in _PUBLIC:
        with compat.explained_imports():
            return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'mmkd' has no attribute '{name}'")


def __dir__():
    return sorted([*globals(), *_PUBLIC])
