"""Overhaul of feature distillation: pre-ReLU features, with a margin below which the student need not go."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mmkd.registry import MODELS

from .base import DistillationLoss, Levels
from .functional import ALIGN, align_size, at_least_float32, autocast_off, check_batch, check_choice, distillation_loss

REDUCTIONS = ('mean', 'batchmean', 'sum')
RARELY_NEGATIVE = 1e-3  # below this probability the mean of the negative values is not looked for


def overhaul_margin(weight: Tensor, bias: Tensor) -> Tensor:
    r"""What a channel is on average where it is negative, from the batch norm that it comes out of.

    A normalised channel is taken as normal, of mean :math:`\mu` = ``bias`` and deviation :math:`\sigma` = |``weight``|:

    .. math:: m = E[x | x < 0] = \mu - \sigma \frac{\varphi(\mu / \sigma)}{\Phi(-\mu / \sigma)}

    with the density and the distribution function of the standard normal, or :math:`-3 \sigma` for a channel that is
    negative with a probability of at most 0.001 (Heo et al., A Comprehensive Overhaul of Feature Distillation, ICCV
    2019, and its code).

    Args:
        weight: (C,), of the norm.
        bias: (C,), of the norm.

    Returns:
        (C,), zero or less, at least float32, without gradient.

    Raises:
        ValueError: they are not two vectors of one length.

    Example:
        >>> import torch
        >>> overhaul_margin(torch.tensor([1.0]), torch.tensor([0.0]))  # -sqrt(2 / pi)
        tensor([-0.7979])
    """
    if weight.dim() != 1 or weight.shape != bias.shape:
        raise ValueError(
            f'overhaul margin: expected weight and bias (C,), but got {tuple(weight.shape)} and {tuple(bias.shape)}'
        )
    with autocast_off(weight.device):
        mean, deviation = at_least_float32(bias.detach()), at_least_float32(weight.detach()).abs()
        # a channel without deviation is a constant: itself where it is negative
        ratio = mean / deviation.clamp(min=torch.finfo(mean.dtype).tiny)
        probability = 0.5 * torch.erfc(ratio / math.sqrt(2))
        density = torch.exp(-0.5 * ratio.square()) / math.sqrt(2 * math.pi)
        often = probability > RARELY_NEGATIVE
        return torch.where(often, mean - deviation * density / torch.where(often, probability, 1.0), -3 * deviation)


@distillation_loss
def overhaul_loss(
    student: Tensor,
    teacher: Tensor,
    margin: Tensor | None = None,
    reduction: str = 'mean',
    align: str = 'none',
    align_corners: bool = False,
) -> Tensor:
    r"""Squared distance of a student's feature, past its connector, to a teacher's before its ReLU.

    The target is :math:`\hat T = \max(T, m)` with the margin m of the channel. Where it is negative, the ReLU drops
    whatever lies below: there a student that is below already is left alone.

    .. math:: L = \frac{1}{d} \sum_{S > \hat T \;\text{or}\; \hat T > 0} (S - \hat T)^2

    (Heo et al., ICCV 2019). d is the number of all entries N C H W with ``reduction='mean'``, N with ``'batchmean'``, 1
    with ``'sum'``. The original code has ``'batchmean'`` with the weight 1e-5 / divider, with a divider of each feature
    (for DeepLabV3+: 8, 4, 2, 1 for the stages, 1 for the ASPP, 16 for the decoder); mmrazor's ``OFDLoss`` has 1e-3.

    Args:
        student: Features (N, C, *) after the connector.
        teacher: Features (N, C, *) before the ReLU. They get no gradient.
        margin: (C,), zero or less, see :func:`overhaul_margin`; None for 0, which makes the target the teacher's
            feature after the ReLU.
        reduction: See above.
        align, align_corners: See :func:`~mmkd.distillation.losses.functional.align_size`.

    Returns:
        A scalar; its precision and what raises: see :func:`~mmkd.distillation.losses.functional.distillation_loss`.

    Example:
        >>> import torch
        >>> student = torch.tensor([1.0, -2.0, 1.0]).view(1, 1, 1, 3)
        >>> teacher = torch.tensor([3.0, -1.0, -4.0]).view(1, 1, 1, 3)
        >>> # targets 3, -0.5, -0.5; the second is left alone: (1 - 3)^2 + (1 + 0.5)^2
        >>> overhaul_loss(student, teacher, torch.tensor([-0.5]), reduction='sum').item()
        6.25
    """
    _check_options(reduction, align)
    check_batch(student, teacher, 'overhaul loss')
    student, teacher = align_size(student, teacher, align, align_corners, 'overhaul loss')
    target = torch.maximum(teacher, _as_channels(margin, teacher))
    counts = (student > target) | (target > 0)
    total = torch.where(counts, student - target, 0.0).square().sum()
    return total / {'mean': max(student.numel(), 1), 'batchmean': max(len(student), 1), 'sum': 1}[reduction]


def _as_channels(margin: Tensor | None, x: Tensor) -> Tensor:
    """The margin (C,), shaped so that it goes with (N, C, *)."""
    if margin is None:
        return x.new_zeros(())
    if margin.shape != x.shape[1:2]:
        raise ValueError(
            f'overhaul loss: margin is {tuple(margin.shape)}, expected one number for each of the '
            f"{x.shape[1]} channels; is it of the norm that the teacher's feature comes out of?"
        )
    return margin.detach().to(x).view(1, -1, *[1] * (x.dim() - 2))


def _check_options(reduction, align):
    check_choice('overhaul loss: reduction', reduction, REDUCTIONS)
    check_choice('overhaul loss: align', align, ALIGN)


@MODELS.register_module()
class OverhaulLoss(DistillationLoss):
    """Module of :func:`overhaul_loss`, with the margin from a batch norm of the teacher.

    In the short form of a distillation config::

        layer1=dict(
            taps=dict(type='ModuleInputs', source='backbone.layer1.2.relu', record_idx=2, data_idx=0),
            inputs=dict(
                norm_weight=dict(side='teacher', type='Parameter', source='backbone.layer1.2.bn3.weight'),
                norm_bias=dict(side='teacher', type='Parameter', source='backbone.layer1.2.bn3.bias')),
            connector=dict(type='ConvConnector', norm_cfg=dict(type='BN')),
            loss=dict(type='OverhaulLoss'))

    Args:
        reduction, align, align_corners: See :func:`overhaul_loss`.
        loss_weight: Factor on the loss.

    Example:
        >>> import torch
        >>> loss = OverhaulLoss(reduction='batchmean', loss_weight=1e-5)
        >>> x, weight, bias = torch.randn(2, 3, 8, 8), torch.ones(3), torch.zeros(3)
        >>> loss(x, x, norm_weight=weight, norm_bias=bias) < loss(-x, x, norm_weight=weight, norm_bias=bias)
        tensor(True)
    """

    def __init__(
        self, reduction: str = 'mean', align: str = 'none', align_corners: bool = False, loss_weight: float = 1.0
    ):
        _check_options(reduction, align)
        super().__init__(loss_weight, reduction=reduction, align=align, align_corners=align_corners)

    def forward(
        self, preds_S: Levels, preds_T: Levels, norm_weight: Tensor | None = None, norm_bias: Tensor | None = None
    ) -> Tensor:
        """The weighted loss of features (N, C, *), or its mean over two lists of levels that share one norm.

        Args:
            preds_S: Of the student, after the connector.
            preds_T: Of the teacher, before the ReLU.
            norm_weight: (C,), of the batch norm that ``preds_T`` comes out of. Neither it nor the bias: margin 0.
            norm_bias: (C,), likewise.

        Raises:
            ValueError: only one of ``norm_weight`` and ``norm_bias`` is given.
        """
        if (norm_weight is None) != (norm_bias is None):
            raise ValueError('OverhaulLoss: norm_weight and norm_bias belong together, but only one of them was given')
        margin = None if norm_weight is None else overhaul_margin(norm_weight, norm_bias)
        levels = None if margin is None or isinstance(preds_S, Tensor) else [margin] * len(preds_S)
        return self.weigh(overhaul_loss, preds_S, preds_T, margin=margin if levels is None else levels)
