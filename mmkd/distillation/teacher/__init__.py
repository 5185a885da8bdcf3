"""The frozen teacher, and what keeps it from leaving a trace."""

from .frozen_teacher import FrozenTeacher

__all__ = ['FrozenTeacher']
