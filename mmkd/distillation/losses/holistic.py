"""Holistic distillation: the terms of the game in which a discriminator tells the student's output from the teacher's.

The teacher's output is "real", the student's "fake" (Liu et al. 2019, Structured Knowledge Distillation).
The discriminator itself is a network and not a loss; the ``Adversary`` of mmkd.distillation.discriminators owns it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmkd.registry import MODELS

from .base import Levels
from .functional import (
    ALIGN,
    align_size,
    at_least_float32,
    autocast_off,
    check_batch,
    check_choice,
    check_weight,
    safe_norm,
)

MODES = ('wgan', 'hinge')


def adversarial_student_loss(student_scores: Tensor) -> Tensor:
    """What the student minimises, -mean D(S), with either form of the discriminator's loss.

    Args:
        student_scores: Output of the discriminator for the student's maps, any shape, with gradient to the student.

    Returns:
        A scalar.

    Example:
        >>> import torch
        >>> round(adversarial_student_loss(torch.tensor([0.3, -0.2])).item(), 4)
        -0.05
    """
    return -at_least_float32(student_scores).mean()


def adversarial_discriminator_loss(student_scores: Tensor, teacher_scores: Tensor, mode: str = 'wgan') -> Tensor:
    """What the discriminator minimises.

    ``'wgan'``: mean D(S) - mean D(T), to be used with :func:`gradient_penalty`;
    ``'hinge'``: mean max(0, 1 + D(S)) + mean max(0, 1 - D(T)).

    Args:
        student_scores: Output of the discriminator for the student's maps, which were detached before.
        teacher_scores: Output of the discriminator for the teacher's.
        mode: ``'wgan'`` or ``'hinge'``.

    Returns:
        A scalar.

    Raises:
        ValueError: the mode is unknown.

    Example:
        >>> import torch
        >>> student, teacher = torch.tensor([0.3, -0.2]), torch.tensor([1.5, 0.1])
        >>> round(adversarial_discriminator_loss(student, teacher, 'wgan').item(), 4)  # 0.05 - 0.8
        -0.75
        >>> loss = adversarial_discriminator_loss(student, teacher, 'hinge')
        >>> round(loss.item(), 4)  # (1.3 + 0.8) / 2 + (0 + 0.9) / 2
        1.5
    """
    check_choice('adversarial loss: mode', mode, MODES)
    student_scores, teacher_scores = at_least_float32(student_scores), at_least_float32(teacher_scores)
    if mode == 'wgan':
        return student_scores.mean() - teacher_scores.mean()
    return F.relu(1 + student_scores).mean() + F.relu(1 - teacher_scores).mean()


def gradient_penalty(
    discriminator: Callable[[Tensor], Tensor],
    student: Tensor,
    teacher: Tensor,
    loss_weight: float = 10.0,
    alpha: Tensor | None = None,
) -> Tensor:
    r"""Keeps the discriminator 1-Lipschitz: :math:`\lambda\, \mathrm{mean}_n (\|\nabla_x D(\hat x_n)\|_2 - 1)^2`.

    :math:`\hat x = \alpha T + (1 - \alpha) S`, :math:`\alpha` uniform in [0, 1), one for each image (Gulrajani et al.
    2017, eq. 3). Where the gradient is exactly zero the penalty is 1 and has no gradient; the original's is NaN.
    Runs in float32 with autocast off, since it differentiates twice.

    Args:
        discriminator: Maps (N, C, H, W) to scores, anything of first dimension N. A normalisation over the batch in it
            makes the penalty one of the whole batch rather than of each image.
        student: The student's maps (N, C, H, W). Detached here.
        teacher: The teacher's maps, same shape. Detached here.
        loss_weight: The factor lambda.
        alpha: (N,), fixes the places instead of drawing them.

    Returns:
        A scalar with gradient to the discriminator's parameters only.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> import torch
        >>> student, teacher = torch.rand(4, 3, 5, 5), torch.rand(4, 3, 5, 5)
        >>> steep = lambda x: 2 * x[:, 0, 0, 0]  # gradient (2, 0, ..., 0): penalty 10 * (2 - 1)^2
        >>> gradient_penalty(steep, student, teacher).item()
        10.0
    """
    if student.shape != teacher.shape:
        raise ValueError(f'gradient penalty: student {tuple(student.shape)}, teacher {tuple(teacher.shape)}')
    student, teacher = at_least_float32(student.detach()), at_least_float32(teacher.detach())
    if alpha is None:
        alpha = torch.rand(len(student), device=student.device, dtype=student.dtype)
    alpha = alpha.view(-1, *[1] * (student.dim() - 1))
    with torch.enable_grad(), autocast_off(student.device):
        between = (alpha * teacher + (1 - alpha) * student).requires_grad_()
        (slope,) = torch.autograd.grad(discriminator(between).sum(), between, create_graph=True)
        return loss_weight * (safe_norm(slope.flatten(1), dim=1) - 1).square().mean()


@MODELS.register_module()
class HolisticLoss(nn.Module):
    """The student's term of the game, ``-loss_weight * mean D(S)``. In float32, whatever the student's precision.

    It is a term of ``AdversarialDistill``, added by a key of its own::

        holistic=dict(taps='decode_head.conv_seg', discriminator=dict(type='HolisticDiscriminator'))

    Args:
        loss_weight: Factor on the term.
        align: Whose size both maps are brought to if they differ: ``'student'``, ``'teacher'``, or ``'none'`` for an
            error.
        align_corners: As in ``F.interpolate``.

    Raises:
        ValueError: ``align`` is unknown, or ``loss_weight`` no finite number of at least 0.
    """

    def __init__(self, loss_weight: float = 0.1, align: str = 'none', align_corners: bool = False):
        super().__init__()
        check_choice('holistic.align', align, ALIGN)
        check_weight('HolisticLoss: loss_weight', loss_weight)
        self.loss_weight = loss_weight
        self.align = align
        self.align_corners = align_corners

    def forward(self, levels_S: Levels, levels_T: Levels, discriminator, images: Tensor | None = None) -> Tensor:
        """Returns the weighted term, or zero as long as the game has not begun.

        Args:
            levels_S: The student's logits (N, C, H, W), or a list with those of each level, which the discriminator
                judges one by one; the term is then their mean.
            levels_T: The teacher's logits (N, C, H', W'), likewise.
            discriminator: The ``Adversary``, which judges the student's maps and learns from both.
            images: The network's input (N, 3, *, *), for a discriminator that looks at it.

        Raises:
            ValueError: The numbers of classes or of levels differ, the sizes differ and are not to be aligned, or the
                discriminator refuses the maps.
        """
        if isinstance(levels_S, Tensor):
            return self._term(levels_S, levels_T, discriminator, images)
        if len(levels_S) != len(levels_T) or not len(levels_S):
            raise ValueError(f'holistic loss: the student has {len(levels_S)} levels and the teacher {len(levels_T)}')
        pairs = zip(levels_S, levels_T, strict=True)
        return torch.stack([self._term(student, teacher, discriminator, images) for student, teacher in pairs]).mean()

    def _term(self, preds_S: Tensor, preds_T: Tensor, discriminator, images: Tensor | None) -> Tensor:
        check_batch(preds_S, preds_T, 'holistic loss')
        with autocast_off(preds_S.device):
            student, teacher = at_least_float32(preds_S), at_least_float32(preds_T.detach())
            student, teacher = align_size(student, teacher, self.align, self.align_corners, 'holistic loss')
            keep = self.training and torch.is_grad_enabled()
            return self.loss_weight * discriminator.judge(student, teacher, images, keep)
