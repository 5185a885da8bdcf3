"""LD: the distribution over a box's edges, taught by the teacher's."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmkd.registry import MODELS

from .base import DistillationLoss, Levels
from .functional import ALIGN, align_size, check_batch, check_choice, check_positive, distillation_loss

EDGES = 4


@distillation_loss
def localization_distillation_loss(
    student: Tensor,
    teacher: Tensor,
    weight: Tensor | None = None,
    temperature: float = 10.0,
    align: str = 'none',
    align_corners: bool = False,
) -> Tensor:
    r"""Divergence of the distributions over the distances to a box's four edges, at each location.

    Detectors of the GFL family predict each distance as a softmax over the bins 0, 1, ..., reg_max. With p, q that of
    the teacher's and the student's logits / T,

    .. math:: L = \frac{T^2}{4 \sum_i w_i} \sum_i w_i \sum_{e=1}^{4} \sum_b p_{ieb} (\log p_{ieb} - \log q_{ieb})

    (Zheng et al. 2022, Localization Distillation for Dense Object Detection, equation 3); i runs over the locations of
    a level here, and of all levels in :class:`LocalizationDistillationLoss`. mmdet's
    ``KnowledgeDistillationKLDivLoss`` takes the mean over the bins in place of the sum: weight w there is
    w / (reg_max + 1) here. Its ``LDHead``, T = 10 and w = 0.25, adds up the locations of objects, weighed by the
    student's scores, so that its loss grows with their number.

    Args:
        student: Logits (N, 4 * (reg_max + 1), H, W): the bins of the left edge, then those of the top, right, bottom.
        teacher: The same of the teacher. They get no gradient.
        weight: (N, H, W), at least 0: how much each location counts; None: all alike. A batch of weight 0 gives 0. Has
            the size the maps have after ``align``.
        temperature: T, above 0.
        align, align_corners: See :func:`~mmkd.distillation.losses.functional.align_size`. (Distances count in strides:
            maps of different strides do not mean the same.)

    Returns:
        A scalar; its precision and what raises: see :func:`~mmkd.distillation.losses.functional.distillation_loss`.

    Example:
        >>> import torch
        >>> student = torch.zeros(1, 8, 2, 2)  # two bins, both edges at (1/2, 1/2)
        >>> teacher = torch.tensor([0.75, 0.25] * 4).log().view(1, 8, 1, 1).expand(1, 8, 2, 2)
        >>> round(localization_distillation_loss(student, teacher, temperature=1.0).item(), 4)
        0.1308
    """
    return _ratio([_sums(student, teacher, weight, temperature, align, align_corners)])


@distillation_loss
def _sums(student, teacher, weight, temperature, align, align_corners) -> tuple[Tensor, Tensor]:
    """The sum over the locations of one level, each with its weight, and the sum of the weights."""
    _check_options(temperature, align)
    check_batch(student, teacher, 'localisation distillation', only_maps=True)
    student, teacher = align_size(student, teacher, align, align_corners, 'localisation distillation')
    number, channels, *size = student.shape
    if channels % EDGES or channels == EDGES:
        raise ValueError(
            f'localisation distillation: expected logits (N, 4 * (reg_max + 1), H, W), but got {tuple(student.shape)}'
        )
    log_q, log_p = (F.log_softmax(x.reshape(number, EDGES, -1, *size) / temperature, dim=2) for x in (student, teacher))
    per_location = F.kl_div(log_q, log_p, log_target=True, reduction='none').sum(2).mean(1) * temperature**2
    if weight is None:
        weight = torch.ones_like(per_location)
    if weight.shape != per_location.shape:
        raise ValueError(
            f'localisation distillation: weight is {tuple(weight.shape)}, expected (N, H, W) = '
            f'{tuple(per_location.shape)}, the size of the compared maps'
        )
    weight = weight.detach().to(per_location.dtype)
    return (per_location * weight).sum(), weight.sum()


def _ratio(sums: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """The mean over the locations of all levels, 0 if their weights add up to 0."""
    total, weight = (torch.stack(parts).sum() for parts in zip(*sums, strict=True))
    return total / torch.where(weight > 0, weight, 1.0)


def _check_options(temperature, align):
    check_positive('localisation distillation: temperature', temperature)
    check_choice('localisation distillation: align', align, ALIGN)


@MODELS.register_module()
class LocalizationDistillationLoss(DistillationLoss):
    """Module of :func:`localization_distillation_loss`.

    The weight of a location is the teacher's score there, if the config says where it is::

        ld=dict(
            taps=dict(source='bbox_head', data_idx=1),  # GFL's head gives class scores and edge distributions
            inputs=dict(scores_T=dict(side='teacher', source='bbox_head', data_idx=0)),
            loss=dict(type='LocalizationDistillationLoss'))

    Without ``scores_T`` all locations count alike, the background most of all. The mean is over the locations of all
    levels together: a level without objects takes nothing from the others, and one location counts as much on each.

    Args:
        temperature, align, align_corners: See :func:`localization_distillation_loss`.
        score_power: Exponent of the score in the weight, above 0.
        loss_weight: Factor on the loss.

    Example:
        >>> import torch
        >>> loss = LocalizationDistillationLoss(loss_weight=0.25)
        >>> edges = torch.randn(2, 68, 4, 4)
        >>> loss(edges, edges, scores_T=torch.randn(2, 80, 4, 4)).item() < 1e-6
        True
    """

    def __init__(
        self,
        temperature: float = 10.0,
        align: str = 'none',
        align_corners: bool = False,
        score_power: float = 1.0,
        loss_weight: float = 1.0,
    ):
        _check_options(temperature, align)
        check_positive('localisation distillation: score_power', score_power)
        super().__init__(loss_weight, temperature=temperature, align=align, align_corners=align_corners)
        self.score_power = score_power

    def forward(self, levels_S: Levels, levels_T: Levels, scores_T: Levels | None = None) -> Tensor:
        """The weighted loss of edge logits, or of two lists of levels, the mean over all their locations.

        Args:
            levels_S: The student's (N, 4 * (reg_max + 1), H, W).
            levels_T: The teacher's.
            scores_T: The teacher's class logits (N, K, H, W), of sigmoids: the largest of a location is its weight.
        """
        sized = levels_S if self.options['align'] == 'student' else levels_T
        weight = self._weight(scores_T, like=sized)
        pairs = self.pairs(levels_S, levels_T)
        weights = weight if isinstance(weight, list) else [weight] * len(pairs)
        sums = [_sums(*pair, w, **self.options) for pair, w in zip(pairs, weights, strict=True)]
        return self.loss_weight * _ratio(sums)

    def _weight(self, scores: Levels | None, like: Levels) -> Levels | None:
        if scores is None or isinstance(scores, Tensor) != isinstance(like, Tensor):
            return None if scores is None else self._refuse(scores, like)
        if not isinstance(scores, Tensor):
            if len(scores) != len(like):
                self._refuse(scores, like)
            return [self._weight(*pair) for pair in zip(scores, like, strict=True)]
        weight = scores.detach().float().sigmoid().amax(1, keepdim=True) ** self.score_power
        if weight.shape[2:] != like.shape[2:]:
            if self.options['align'] == 'none':
                return weight[:, 0]  # the loss says which sizes differ
            weight = F.interpolate(weight, like.shape[2:], mode='bilinear', align_corners=self.options['align_corners'])
        return weight[:, 0]

    @staticmethod
    def _refuse(scores: Levels, like: Levels) -> None:
        def what(levels: Levels) -> str:
            return 'one tensor' if isinstance(levels, Tensor) else f'{len(levels)} levels'

        raise ValueError(f'localisation distillation: scores_T is {what(scores)}, the edges are {what(like)}')
