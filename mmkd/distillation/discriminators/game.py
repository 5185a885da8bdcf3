"""The game of holistic distillation: the student's term in it, and what a step of the critic minimises.

The loss functions are in :mod:`mmkd.distillation.losses`, the critic in :mod:`mmkd.distillation.discriminators`; here
is what brings the two together in training.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce_params, broadcast
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmkd.registry import MODELS

from ..losses import adversarial_critic_loss, adversarial_student_loss, gradient_penalty
from ..losses.base import Levels
from ..losses.functional import (
    ALIGN,
    align_size,
    at_least_float32,
    autocast_off,
    check_batch,
    check_choice,
    check_weight,
)
from ..teacher.isolation import evaluating

__all__ = ['MODES', 'CriticBatch', 'HolisticLoss', 'average_over_ranks', 'copy_to_ranks', 'critic_losses', 'per_sample']

# The names of the two games, and of the losses in them.
MODES = {'wgan-gp': 'wgan', 'hinge': 'hinge'}


@dataclass
class CriticBatch:
    """What the critic learns from in one step, in float32 and without a graph.

    Attributes:
        student: The student's maps (N, C, H, W).
        teacher: The teacher's maps, of the same size.
        images: The images (N, 3, H, W), resized to the maps; None for a critic that does not look at them.
    """

    student: Tensor
    teacher: Tensor
    images: Tensor | None = None


@MODELS.register_module()
class HolisticLoss(nn.Module):
    """The student's term, ``-loss_weight * mean D(S)``, and the memory of what the critic is to learn from.

    The critic is looked at and not changed: its parameters get no gradient, and it runs as a function of each sample
    alone (see :func:`per_sample`). In float32, whatever the student's precision.

    Args:
        loss_weight: Factor on the term.
        align: Whose size both maps are brought to if they differ: ``'student'``, ``'teacher'``, or ``'none'`` for an
            error.
        align_corners: As in ``F.interpolate``.

    Raises:
        ValueError: ``align`` is unknown, or ``loss_weight`` no finite number of at least 0.
    """

    takes_levels = True

    def __init__(self, loss_weight: float = 0.1, align: str = 'none', align_corners: bool = False):
        super().__init__()
        check_choice('holistic.align', align, ALIGN)
        check_weight('HolisticLoss: loss_weight', loss_weight)
        self.loss_weight = loss_weight
        self.align = align
        self.align_corners = align_corners
        self.active = True
        self._critic: tuple[nn.Module, ...] = ()  # in a tuple, which does not make it a child
        self._batches: list[CriticBatch] = []

    def attach(self, critic: nn.Module) -> None:
        """Says which network judges."""
        self._critic = (critic,)

    def take(self) -> list[CriticBatch]:
        """Hands over what the last forward kept for the critic, one item a level, and forgets it."""
        batches, self._batches = self._batches, []
        return batches

    def forward(self, preds_S: Levels, preds_T: Levels, images: Tensor | None = None) -> Tensor:
        """Returns the weighted term, or zero as long as the loss is not active.

        Args:
            preds_S: The student's logits (N, C, H, W), or a list with those of each level, which the critic judges one
                by one; the term is then their mean.
            preds_T: The teacher's logits (N, C, H', W'), likewise.
            images: The network's input (N, 3, *, *), for a critic that looks at it.

        Raises:
            ValueError: The numbers of classes or of levels differ, the sizes differ and are not to be aligned, or the
                critic refuses the maps.
        """
        self._batches = []
        if isinstance(preds_S, Tensor):
            return self._term(preds_S, preds_T, images)
        if len(preds_S) != len(preds_T) or not len(preds_S):
            raise ValueError(f'holistic loss: the student has {len(preds_S)} levels and the teacher {len(preds_T)}')
        terms = [self._term(student, teacher, images) for student, teacher in zip(preds_S, preds_T, strict=True)]
        return torch.stack(terms).mean()

    def _term(self, preds_S: Tensor, preds_T: Tensor, images: Tensor | None) -> Tensor:
        check_batch(preds_S, preds_T, 'holistic loss')
        (critic,) = self._critic
        with autocast_off(preds_S.device):
            student, teacher = at_least_float32(preds_S), at_least_float32(preds_T.detach())
            student, teacher = align_size(student, teacher, self.align, self.align_corners, 'holistic loss')
            if images is not None:
                images = F.interpolate(images.float(), student.shape[-2:], mode='bilinear', align_corners=True)
            if not self.active:
                return 0 * student.sum()
            if self.training and torch.is_grad_enabled():
                self._batches.append(CriticBatch(student.detach(), teacher, images))
            with _frozen(critic), per_sample(critic):
                return self.loss_weight * adversarial_student_loss(_score(critic, student, images))


def critic_losses(
    critic: nn.Module, batch: CriticBatch, mode: str, penalty_weight: float, generator: torch.Generator | None = None
) -> dict[str, Tensor]:
    """What the critic minimises, from one call on the real and the fake maps together.

    One call and not two: each forward in train mode runs a power iteration of the spectral norm, and both kinds of maps
    are to be judged by the same weights (and normalised alike, where the critic has a batch norm).

    Args:
        critic: The critic, in train mode.
        batch: Real and fake maps.
        mode: ``'wgan-gp'`` or ``'hinge'``.
        penalty_weight: The factor lambda of the gradient penalty, with either mode; 0 for none.
        generator: Draws the places between real and fake where the penalty is taken.

    Returns:
        ``loss_adversarial``, ``loss_gp`` (if there is a penalty) and ``gap``, how much higher the teacher scores.
    """
    device = batch.student.device
    with torch.enable_grad(), autocast_off(device):
        maps = torch.cat([batch.teacher, batch.student])
        images = None if batch.images is None else torch.cat([batch.images, batch.images])
        teacher_scores, student_scores = _score(critic, maps, images).chunk(2)
        terms = dict(loss_adversarial=adversarial_critic_loss(student_scores, teacher_scores, MODES[mode]))
        if penalty_weight:
            # drawn on the CPU, so that it is the same on every device
            alpha = torch.rand(len(batch.student), generator=generator).to(device)
            with per_sample(critic):
                terms['loss_gp'] = gradient_penalty(
                    lambda between: _score(critic, between, batch.images),
                    batch.student,
                    batch.teacher,
                    penalty_weight,
                    alpha,
                )
        terms['gap'] = (teacher_scores.mean() - student_scores.mean()).detach()
    return terms


def per_sample(critic: nn.Module) -> AbstractContextManager:
    """A context in which the critic is a function of each sample alone and keeps its state.

    It is the critic's own ``per_sample`` if it has one; otherwise eval mode.
    """
    return critic.per_sample() if hasattr(critic, 'per_sample') else evaluating(critic)


@contextmanager
def _frozen(critic: nn.Module) -> Iterator[None]:
    trained = [parameter for parameter in critic.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def _score(critic: nn.Module, maps: Tensor, images: Tensor | None) -> Tensor:
    return critic(maps) if images is None else critic(maps, images)


# ---- several processes -----------------------------------------------------------------------------------------------


def copy_to_ranks(critic: nn.Module) -> None:
    """Gives every process the critic of the first: DDP, which is told to ignore it, does not."""
    for tensor in [*critic.parameters(), *critic.buffers()]:
        broadcast(tensor.data, src=0)


def average_over_ranks(critic: nn.Module, what: str) -> None:
    """Averages over the processes what each has computed from its own part of the batch.

    Args:
        critic: The critic.
        what: ``'gradients'``, before an optimizer step; or ``'statistics'``, the running mean and variance of batch
            norms, with which the critic judges the student. The singular vectors of a spectral norm come from the
            weights alone and are equal anyway.
    """
    if what == 'gradients':
        tensors = [parameter.grad for parameter in critic.parameters() if parameter.grad is not None]
    else:
        norms = [m for m in critic.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
        tensors = [tensor for norm in norms for tensor in (norm.running_mean, norm.running_var)]
    if tensors:
        all_reduce_params(tensors, op='mean')
