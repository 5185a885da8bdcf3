"""Optimizers."""

from .distill_optim_wrapper import DistillOptimWrapper
from .distill_optim_wrapper_constructor import DistillOptimWrapperConstructor, with_distill_constructor

__all__ = ['DistillOptimWrapper', 'DistillOptimWrapperConstructor', 'with_distill_constructor']
