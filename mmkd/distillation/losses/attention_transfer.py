"""Attention transfer: where in the map a network is active."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from mmkd.registry import MODELS

from .base import DistillationLoss, Levels
from .functional import ALIGN, align_size, check_batch, check_choice, distillation_loss, unit_vectors

NORMALIZE = ('map', 'column')
REDUCTIONS = ('mean', 'vector_mean')


@distillation_loss
def attention_transfer_loss(
    student: Tensor,
    teacher: Tensor,
    normalize: str = 'map',
    reduction: str = 'mean',
    align: str = 'none',
    align_corners: bool = False,
) -> Tensor:
    r"""Squared difference of two normalised maps of activity :math:`a_{ni} = \frac{1}{C} \sum_c F_{nci}^2`.

    The channels of the two networks may differ, so no connector is needed. ``normalize`` says what gets length 1:

    * ``'map'``: the activity of an image, all its positions as one vector (Zagoruyko & Komodakis, ICLR 2017, with
      p = 2). Equal to mmrazor's ``ATLoss``;
    * ``'column'``: each column of the map, all rows of one column as a vector. This is what the code of DeepLabV3+-KD
      (Mansurian et al.) does, where ``F.normalize`` was called without flattening the map; its weight of 100 is for
      this form, which is about ten times the other.

    :math:`L = \frac{1}{N H W} \sum_{n,i} (\hat a^T_{ni} - \hat a^S_{ni})^2` with ``reduction='mean'``, as in both
    sources. The entries of a vector of length 1 are the smaller the more there are, so that this depends on the
    size of the map. ``'vector_mean'`` does not: the squared distance of the vectors, averaged over them (times H W for
    ``'map'``, times H for ``'column'``).

    Args:
        student: Features (N, C_s, H, W).
        teacher: Features (N, C_t, H, W). They get no gradient.
        normalize: See above.
        reduction: See above.
        align, align_corners: See :func:`~mmkd.distillation.losses.functional.align_size`. Before the squares.

    Returns:
        A scalar; its precision and what raises: see :func:`~mmkd.distillation.losses.functional.distillation_loss`.

    Example:
        >>> import torch
        >>> student = torch.tensor([1.0, 0.0]).view(1, 1, 1, 2)  # active on the left, the teacher on the right
        >>> attention_transfer_loss(student, student.flip(3)).item()
        1.0
    """
    _check_options(normalize, reduction, align)
    check_batch(student, teacher, 'attention transfer', same_channels=False, only_maps=True)
    student, teacher = align_size(student, teacher, align, align_corners, 'attention transfer')
    student, teacher = _unit_activity(student, normalize), _unit_activity(teacher, normalize)
    loss = F.mse_loss(student, teacher)
    return loss if reduction == 'mean' else loss * student.shape[1]


def _unit_activity(x: Tensor, normalize: str) -> Tensor:
    """Activity of (N, C, H, W) with unit vectors along dimension 1: (N, H*W) of maps, (N, H, W) of columns."""
    activity = x.square().mean(1)
    return unit_vectors(activity.flatten(1) if normalize == 'map' else activity, eps=0.0)


def _check_options(normalize, reduction, align):
    check_choice('attention transfer: normalize', normalize, NORMALIZE)
    check_choice('attention transfer: reduction', reduction, REDUCTIONS)
    check_choice('attention transfer: align', align, ALIGN)


@MODELS.register_module()
class AttentionTransferLoss(DistillationLoss):
    """Module of :func:`attention_transfer_loss`.

    Args:
        normalize, reduction, align, align_corners: See :func:`attention_transfer_loss`.
        loss_weight: Factor on the loss.

    Example:
        >>> import torch
        >>> x = torch.randn(2, 3, 8, 8)
        >>> AttentionTransferLoss(normalize='column', loss_weight=100.0)(x, -2 * x).item()
        0.0
    """

    def __init__(
        self,
        normalize: str = 'map',
        reduction: str = 'mean',
        align: str = 'none',
        align_corners: bool = False,
        loss_weight: float = 1.0,
    ):
        _check_options(normalize, reduction, align)
        super().__init__(
            loss_weight, normalize=normalize, reduction=reduction, align=align, align_corners=align_corners
        )

    def forward(self, preds_S: Levels, preds_T: Levels) -> Tensor:
        """The weighted loss of features (N, C, H, W), or its mean over two lists of levels."""
        return self.weigh(attention_transfer_loss, preds_S, preds_T)
