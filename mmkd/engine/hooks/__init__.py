"""Hooks."""

from .student_checkpoint_hook import StudentCheckpointHook
from .teacher_evaluation_hook import TeacherEvaluationHook

__all__ = ['StudentCheckpointHook', 'TeacherEvaluationHook']
