"""Optimizers."""

from .distill_optim_wrapper import DistillOptimWrapper, DistillOptimWrapperConstructor

__all__ = ['DistillOptimWrapper', 'DistillOptimWrapperConstructor']
