"""Hooks."""

from .durable_checkpoint_hook import DurableCheckpointHook
from .finite_loss_hook import FiniteLossHook
from .iteration_seed_hook import IterationSeedHook
from .stop_distill_hook import StopDistillHook
from .student_checkpoint_hook import StudentCheckpointHook
from .teacher_evaluation_hook import TeacherEvaluationHook

__all__ = [
    'DurableCheckpointHook',
    'FiniteLossHook',
    'IterationSeedHook',
    'StopDistillHook',
    'StudentCheckpointHook',
    'TeacherEvaluationHook',
]
