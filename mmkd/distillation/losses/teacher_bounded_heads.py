"""Teacher-bounded box and centreness losses of an FCOS head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmkd.registry import MODELS

from .base import DistillationLoss
from .functional import check_choice, check_number
from .teacher_bounded import teacher_bounded_loss

__all__ = ['TeacherBoundedLoss']

COMPARE = ('location', 'batch')


@MODELS.register_module()
class TeacherBoundedLoss(DistillationLoss):
    r"""Raises the student's box and centreness losses where the teacher does better (Chen et al. 2017; CenterMask_KD).

    In all the student is to minimise

    .. math:: L' = (1 + \nu \, [L_S + m > L_T]) \, L_S .

    Its own loss :math:`L_S` stays as it is among its hard losses, logged as such; this one is the rest,
    :math:`\nu [L_S + m > L_T] L_S`. (CenterMask_KD takes the hard loss out and puts :math:`1.5 L_S` in; the sum and
    its gradient are the same.) The comparison is a constant in the backward pass.

    Both losses come from the outputs of the two heads and the *student's* targets: the same locations, the same true
    boxes, the student's loss functions. The teacher stays in eval mode and neither assigns targets nor computes
    losses of its own. Use it with the taps of the whole head::

        bounded=dict(taps='bbox_head', loss=dict(type='mmkd.TeacherBoundedLoss'))

    Args:
        compare: What is compared with what. ``'location'``: the loss of each positive location, so that the student is
            pushed where the teacher knows better, whatever the rest of the batch. ``'batch'``: the two losses of the
            batch on this GPU, as in CenterMask_KD; one bit for all boxes, and the loss jumps by half when it turns.
        margin: m, in units of what is compared.
        loss_weight: :math:`\nu`, 0.5 in both sources.

    Raises:
        ValueError: ``compare`` is unknown, or ``margin`` no finite number.
    """

    def __init__(self, compare: str = 'location', margin: float = 0.0, loss_weight: float = 0.5):
        check_choice('teacher-bounded loss: compare', compare, COMPARE)
        check_number('teacher-bounded loss: margin', margin)
        super().__init__(loss_weight, compare=compare, margin=margin)

    def forward(
        self, levels_S: Sequence[Sequence[Tensor]], levels_T: Sequence[Sequence[Tensor]], data_samples, student, teacher
    ) -> dict[str, Tensor]:
        """The two added losses.

        Args:
            levels_S: The student's class logits (N, C, H, W), distances (N, 4, H, W) and centreness logits
                (N, 1, H, W), each a list of levels.
            levels_T: The teacher's.
            data_samples: With ``gt_instances`` of each image.
            student: The student, with a ``CenterMaskFCOSHead`` as ``bbox_head``.
            teacher: The ``FrozenTeacher``.

        Returns:
            ``bbox`` and ``centerness``, scalars; zero, with a graph, without positive locations.

        Raises:
            ValueError: The heads cannot be compared.
        """
        head = student.bbox_head
        _check_heads(head, teacher.model.bbox_head)
        _check_levels(levels_S, levels_T)
        positives = head.find_positives(levels_S[0], [sample.gt_instances for sample in data_samples])
        of_student = head.positive_losses(*levels_S[1:], positives)
        with torch.no_grad():
            of_teacher = head.positive_losses(*levels_T[1:], positives)
        losses = zip(('bbox', 'centerness'), of_student, of_teacher, strict=True)
        return {name: self._bounded(student, teacher) for name, student, teacher in losses}

    def _bounded(self, student: Tensor, teacher: Tensor) -> Tensor:
        # The shares of the locations: each loss times the same positive factor for both networks.
        if self.options['compare'] == 'batch':
            student, teacher = student.sum(), teacher.sum()
        return self.loss_weight * teacher_bounded_loss(student, teacher, self.options['margin']).sum()


def _check_heads(student: nn.Module, teacher: nn.Module) -> None:
    if not hasattr(student, 'positive_losses'):
        raise ValueError(
            'student.bbox_head: a CenterMaskFCOSHead, which gives the losses of single locations, was expected, got '
            f'{type(student).__name__}'
        )
    for key in ('bbox_reg', 'strides'):
        ours, theirs = getattr(student, key), getattr(teacher, key, None)
        if ours != theirs:
            raise ValueError(
                f'bbox_head.{key}: the same was expected of student and teacher, got {ours!r} and {theirs!r}; '
                'their distances have different units'
            )


def _check_levels(student: Sequence[Sequence[Tensor]], teacher: Sequence[Sequence[Tensor]]) -> None:
    sizes = [[tuple(level.shape[-2:]) for level in preds[1]] for preds in (student, teacher)]
    if sizes[0] != sizes[1]:
        raise ValueError(f'bbox_head: the levels have different sizes: student {sizes[0]}, teacher {sizes[1]}')
