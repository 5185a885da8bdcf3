"""What joins a training run: hooks, loops, optimizers."""

from .hooks import (
    DurableCheckpointHook,
    FiniteLossHook,
    GradientShareHook,
    IterationSeedHook,
    StopDistillHook,
    StudentCheckpointHook,
    TeacherEvaluationHook,
    ValidationPanelsHook,
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
    'GradientShareHook',
    'IterationSeedHook',
    'StopDistillHook',
    'StudentCheckpointHook',
    'TeacherEvaluationHook',
    'ValidationPanelsHook',
    'prepare_runner',
]
