"""What joins a training run: hooks, loops, optimizers."""

from . import hooks
from .hooks import *  # noqa: F403  each is named in hooks
from .loops import DistillValLoop
from .optimizers import AutocastOptimWrapper, DistillOptimWrapper, DistillOptimWrapperConstructor
from .prepare import prepare_runner

__all__ = [
    *hooks.__all__,
    'AutocastOptimWrapper',
    'DistillOptimWrapper',
    'DistillOptimWrapperConstructor',
    'DistillValLoop',
    'prepare_runner',
]
