"""Optimizers."""

from .autocast_optim_wrapper import AutocastOptimWrapper
from .distill_optim_wrapper import DistillOptimWrapper
from .distill_optim_wrapper_constructor import DistillOptimWrapperConstructor, with_distill_constructor

__all__ = ['AutocastOptimWrapper', 'DistillOptimWrapper', 'DistillOptimWrapperConstructor', 'with_distill_constructor']
