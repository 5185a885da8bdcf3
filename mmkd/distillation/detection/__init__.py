"""Losses that use the heads of a detector, student's and teacher's, and the ground truth the student learns from."""

from .mask_branch import MaskBranchLoss
from .teacher_bounded import TeacherBoundedLoss

__all__ = ['MaskBranchLoss', 'TeacherBoundedLoss']
