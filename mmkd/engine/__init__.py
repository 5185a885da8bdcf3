"""What joins a training run: hooks and loops."""

from .hooks import StudentCheckpointHook, TeacherEvaluationHook
from .loops import DistillValLoop

__all__ = ['DistillValLoop', 'StudentCheckpointHook', 'TeacherEvaluationHook']
