"""MGD's loss: the error of the feature that was generated from the student's masked one."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from mmkd.registry import MODELS

from .base import DistillationLoss, Levels
from .functional import ALIGN, align_size, check_batch, check_choice, distillation_loss

REDUCTIONS = ('mean', 'batch_sum')


@distillation_loss
def mgd_loss(
    student: Tensor, teacher: Tensor, reduction: str = 'mean', align: str = 'none', align_corners: bool = False
) -> Tensor:
    r"""Squared error of the generated feature G(S) and the teacher's T (Yang et al. 2022, Masked Generative
    Distillation, equation 4).

    ``reduction='mean'`` divides the sum by N*C*H*W. The released code and mmrazor's ``MGDLoss`` divide by N only,
    ``'batch_sum'``: there the weight is that of one size of map, 2e-5 for one-stage detectors. That is the mean with
    weight 2e-5 * C * H * W: 19 on a map of 50 x 76 with 256 channels.

    Args:
        student: What a :class:`~mmkd.distillation.connectors.MaskedGenerationConnector` made of the student's feature,
            (N, C, *).
        teacher: Features (N, C, *). They get no gradient.
        reduction: ``'mean'`` or ``'batch_sum'``.
        align, align_corners: See :func:`~mmkd.distillation.losses.functional.align_size`.

    Returns:
        A scalar; its precision and what raises: see :func:`~mmkd.distillation.losses.functional.distillation_loss`.

    Example:
        >>> import torch
        >>> generated, teacher = torch.zeros(2, 3, 4, 4), torch.full((2, 3, 4, 4), 0.5)
        >>> mgd_loss(generated, teacher).item()
        0.25
        >>> mgd_loss(generated, teacher, reduction='batch_sum').item()  # times 3 * 4 * 4
        12.0
    """
    _check_options(reduction, align)
    check_batch(student, teacher, 'MGD loss')
    student, teacher = align_size(student, teacher, align, align_corners, 'MGD loss')
    loss = F.mse_loss(student, teacher)
    return loss if reduction == 'mean' else loss * student[0].numel()


def _check_options(reduction, align):
    check_choice('MGD loss: reduction', reduction, REDUCTIONS)
    check_choice('MGD loss: align', align, ALIGN)


@MODELS.register_module()
class MGDLoss(DistillationLoss):
    """Module of :func:`mgd_loss`. It goes with ``connector=dict(type='MaskedGenerationConnector')``.

    Args:
        reduction, align, align_corners: See :func:`mgd_loss`.
        loss_weight: Factor on the loss.
        alpha_mgd: mmrazor's weight, so that its configs run as they are: ``loss_weight`` with
            ``reduction='batch_sum'``. Takes the place of both if given.

    Example:
        >>> import torch
        >>> MGDLoss(loss_weight=4.0)(torch.zeros(1, 2, 3, 3), torch.full((1, 2, 3, 3), 0.5)).item()
        1.0
    """

    def __init__(
        self,
        reduction: str = 'mean',
        align: str = 'none',
        align_corners: bool = False,
        loss_weight: float = 1.0,
        alpha_mgd: float | None = None,
    ):
        if alpha_mgd is not None:
            loss_weight, reduction = alpha_mgd, 'batch_sum'
        _check_options(reduction, align)
        super().__init__(loss_weight, reduction=reduction, align=align, align_corners=align_corners)

    def forward(self, preds_S: Levels, preds_T: Levels) -> Tensor:
        """The weighted loss of features (N, C, *), or its mean over two lists of levels."""
        return self.weigh(mgd_loss, preds_S, preds_T)
