"""Hooks."""

from .finite_loss_hook import FiniteLossHook
from .student_checkpoint_hook import StudentCheckpointHook
from .teacher_evaluation_hook import TeacherEvaluationHook

__all__ = ['FiniteLossHook', 'StudentCheckpointHook', 'TeacherEvaluationHook']
