"""What joins a training run: hooks, loops, optimizers."""

from .hooks import FiniteLossHook, StudentCheckpointHook, TeacherEvaluationHook
from .loops import DistillValLoop
from .optimizers import DistillOptimWrapper, DistillOptimWrapperConstructor

__all__ = [
    'DistillOptimWrapper',
    'DistillOptimWrapperConstructor',
    'DistillValLoop',
    'FiniteLossHook',
    'StudentCheckpointHook',
    'TeacherEvaluationHook',
]
