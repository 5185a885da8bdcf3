"""Hooks."""

from .durable_checkpoint_hook import DurableCheckpointHook
from .finite_loss_hook import FiniteLossHook
from .gradient_share_hook import GradientShareHook
from .iteration_seed_hook import IterationSeedHook
from .stop_distill_hook import StopDistillHook
from .student_checkpoint_hook import StudentCheckpointHook
from .teacher_cache_hook import TeacherCacheHook
from .teacher_evaluation_hook import TeacherEvaluationHook
from .validation_panels_hook import ValidationPanelsHook

__all__ = [
    'DurableCheckpointHook',
    'FiniteLossHook',
    'GradientShareHook',
    'IterationSeedHook',
    'StopDistillHook',
    'StudentCheckpointHook',
    'TeacherEvaluationHook',
    'TeacherCacheHook',
    'ValidationPanelsHook',
]
