"""Mean squared error of two feature maps, as they are or normalised."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from mmkd.registry import MODELS

from .base import DistillationLoss, Levels
from .functional import (
    ALIGN,
    align_size,
    check_batch,
    check_choice,
    distillation_loss,
    standardize_channels,
    unit_vectors,
)

NORMALIZE = ('none', 'pixel', 'channel')


@distillation_loss
def feature_mse_loss(
    student: Tensor, teacher: Tensor, normalize: str = 'none', align: str = 'none', align_corners: bool = False
) -> Tensor:
    r"""Mean squared error :math:`\frac{1}{NCHW} \sum (\hat S - \hat T)^2` of two feature maps.

    ``normalize`` says what the hat does:

    * ``'none'``: nothing (MIMIC; the feature-map loss of CenterMask_KD, there summed over levels and divided by 5);
    * ``'pixel'``: the channel vector of each position has length 1, so only its direction counts;
    * ``'channel'``: each channel has mean 0 and standard deviation 1 over batch and positions. Half the loss is then
      1 - r, r the channel's Pearson correlation: PKD (Cao et al. 2022), the same as mmrazor's ``PKDLoss``
      with ``loss_weight`` doubled. A constant channel becomes 0.

    Args:
        student: Features (N, C, *). Where its C differs from the teacher's, a connector goes before the loss.
        teacher: Features (N, C, *). They get no gradient.
        normalize: See above.
        align, align_corners: See :func:`~mmkd.distillation.losses.functional.align_size`.

    Returns:
        A scalar; its precision and what raises: see :func:`~mmkd.distillation.losses.functional.distillation_loss`.

    Example:
        >>> import torch
        >>> feature_mse_loss(torch.zeros(2, 3, 4, 4), torch.full((2, 3, 4, 4), 0.5)).item()
        0.25
    """
    _check_options(normalize, align)
    check_batch(student, teacher, 'feature MSE loss')
    student, teacher = align_size(student, teacher, align, align_corners, 'feature MSE loss')
    if normalize == 'pixel':
        student, teacher = unit_vectors(student), unit_vectors(teacher)
    elif normalize == 'channel':
        student, teacher = standardize_channels(student), standardize_channels(teacher)
    return F.mse_loss(student, teacher)


def _check_options(normalize, align):
    check_choice('feature MSE loss: normalize', normalize, NORMALIZE)
    check_choice('feature MSE loss: align', align, ALIGN)


@MODELS.register_module()
class FeatureMSELoss(DistillationLoss):
    """Module of :func:`feature_mse_loss`.

    Args:
        normalize, align, align_corners: See :func:`feature_mse_loss`.
        loss_weight: Factor on the loss.

    Example:
        >>> import torch
        >>> FeatureMSELoss(loss_weight=4.0)(torch.zeros(1, 2, 3, 3), torch.full((1, 2, 3, 3), 0.5)).item()
        1.0
    """

    def __init__(
        self, normalize: str = 'none', align: str = 'none', align_corners: bool = False, loss_weight: float = 1.0
    ):
        _check_options(normalize, align)
        super().__init__(loss_weight, normalize=normalize, align=align, align_corners=align_corners)

    def forward(self, preds_S: Levels, preds_T: Levels) -> Tensor:
        """The weighted loss of features (N, C, *), or its mean over two lists of levels."""
        return self.weigh(feature_mse_loss, preds_S, preds_T)
