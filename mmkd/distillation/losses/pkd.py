"""PKD: the features' Pearson correlation, so that neither their size nor their offset counts."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from mmkd.registry import MODELS

from .base import DistillationLoss, Levels
from .functional import ALIGN, align_size, check_batch, check_choice, distillation_loss, standardize_channels


@distillation_loss
def pkd_loss(student: Tensor, teacher: Tensor, align: str = 'none', align_corners: bool = False) -> Tensor:
    r"""Half the mean squared error of two feature maps, each channel of which has mean 0 and standard deviation 1.

    With :math:`\hat s_c`, :math:`\hat t_c` the M = N*H*W standardised numbers of channel c in the batch,

    .. math:: L = \frac{1}{2 C M} \sum_c \| \hat s_c - \hat t_c \|^2 = \frac{M - 1}{M} \, (1 - \bar r),

    where :math:`\bar r` is the mean over the channels of Pearson's r (Cao et al. 2022, PKD: General Distillation
    Framework for Object Detectors via Pearson Correlation Coefficient, section 3.3). It says where a channel is active
    relative to itself, which detectors of different kinds agree on more than on the values. mmrazor's configs: weight
    10 (RetinaNet) or 6 (Faster R-CNN, or a teacher of another kind) on each of four FPN levels, added up. Equal to its
    ``PKDLoss`` where that one is defined; a constant channel, which makes its gradient NaN, becomes 0 here.

    Args:
        student: Features (N, C, *). Where its C differs from the teacher's, a connector goes before the loss.
        teacher: Features (N, C, *). They get no gradient.
        align, align_corners: See :func:`~mmkd.distillation.losses.functional.align_size`.

    Returns:
        A scalar; its precision and what raises: see :func:`~mmkd.distillation.losses.functional.distillation_loss`.

    Example:
        >>> import torch
        >>> student = torch.tensor([1.0, -1, 1, -1]).view(1, 1, 2, 2)
        >>> teacher = torch.tensor([9.0, 9, 5, 5]).view(1, 1, 2, 2)  # r = 0, M = 4
        >>> round(pkd_loss(student, teacher).item(), 4)
        0.75
    """
    check_choice('PKD loss: align', align, ALIGN)
    check_batch(student, teacher, 'PKD loss')
    student, teacher = align_size(student, teacher, align, align_corners, 'PKD loss')
    return F.mse_loss(standardize_channels(student), standardize_channels(teacher)) / 2


@MODELS.register_module()
class PKDLoss(DistillationLoss):
    """Module of :func:`pkd_loss`.

    Args:
        align, align_corners: See :func:`pkd_loss`.
        loss_weight: Factor on the loss.
        resize_stu: mmrazor's name for ``align``, so that its configs run as they are: True is ``'teacher'``, False
            ``'student'``. Takes its place if given.

    Example:
        >>> import torch
        >>> x = torch.randn(2, 3, 8, 8)
        >>> PKDLoss(loss_weight=6.0)(x, 5 * x + 2).item() < 1e-6
        True
    """

    def __init__(
        self,
        align: str = 'none',
        align_corners: bool = False,
        loss_weight: float = 1.0,
        resize_stu: bool | None = None,
    ):
        if resize_stu is not None:
            align = 'teacher' if resize_stu else 'student'
        check_choice('PKD loss: align', align, ALIGN)
        super().__init__(loss_weight, align=align, align_corners=align_corners)

    def forward(self, preds_S: Levels, preds_T: Levels) -> Tensor:
        """The weighted loss of features (N, C, *), or its mean over two lists of levels."""
        return self.weigh(pkd_loss, preds_S, preds_T)
