"""The teacher-bounded loss: a student learns harder where its teacher does better."""

from __future__ import annotations

from torch import Tensor

from .functional import distillation_loss

__all__ = ['teacher_bounded_loss']


@distillation_loss
def teacher_bounded_loss(student: Tensor, teacher: Tensor, margin: float = 0.0) -> Tensor:
    r"""What the teacher adds to a hard loss, :math:`[L_S + m > L_T] \, L_S`, element by element.

    :math:`L_S` and :math:`L_T` are the losses of student and teacher on the same ground truth. A regression is not
    taught the teacher's output, which may be further from the truth than its own; the teacher is an upper bound: once
    the student is as good, there is nothing more to learn from it (Chen et al. 2017, Learning Efficient Object
    Detection Models with Knowledge Distillation, eq. 4 and 5). With a weight :math:`\nu`, 0.5 in the paper and in
    CenterMask_KD, the sum with the student's own loss is

    .. math:: L' = L_S + \nu [L_S > L_T] L_S, \quad \text{1.5 times } L_S \text{ where the student is worse.}

    The comparison is strict and a constant in the backward pass; on the device, so that nothing waits for its result.

    Args:
        student: Losses of the student, of any shape: a scalar of the batch or one for each location.
        teacher: Losses of the teacher, of the same shape. They get no gradient.
        margin: m; above 0 the student is to be better than the teacher by as much.

    Returns:
        The added loss, of the shape of ``student``, without :math:`\nu`.

    Raises:
        TypeError: an input is not a tensor.
        ValueError: The shapes differ.

    Example:
        >>> import torch
        >>> student = torch.tensor([0.6, 0.4, 0.6])
        >>> student + 0.5 * teacher_bounded_loss(student, torch.tensor([0.4, 0.6, 0.6]))
        tensor([0.9000, 0.4000, 0.6000])
    """
    if student.shape != teacher.shape:
        raise ValueError(
            f'teacher-bounded loss: the shapes differ: student {tuple(student.shape)}, teacher {tuple(teacher.shape)}'
        )
    return (student.detach() + margin > teacher) * student
