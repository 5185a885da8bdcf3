"""What joins a training run: hooks, loops, optimizers."""

from .hooks import (
    DurableCheckpointHook,
    FiniteLossHook,
    IterationSeedHook,
    StopDistillHook,
    StudentCheckpointHook,
    TeacherEvaluationHook,
)
from .loops import DistillValLoop
from .optimizers import DistillOptimWrapper, DistillOptimWrapperConstructor
from .prepare import prepare_runner

__all__ = [
    'DistillOptimWrapper',
    'DistillOptimWrapperConstructor',
    'DistillValLoop',
    'DurableCheckpointHook',
    'FiniteLossHook',
    'IterationSeedHook',
    'StopDistillHook',
    'StudentCheckpointHook',
    'TeacherEvaluationHook',
    'prepare_runner',
]
