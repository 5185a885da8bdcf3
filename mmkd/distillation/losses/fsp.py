"""FSP: how the channels of two consecutive features go together, "the flow of the solution procedure"."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from mmkd.registry import MODELS

from .base import DistillationLoss
from .functional import at_least_float32, autocast_off, check_batch, check_choice

REDUCTIONS = ('mean', 'sum')


def fsp_matrix(first: Tensor, second: Tensor) -> Tensor:
    r"""The matrix :math:`M_{ab} = \frac{1}{HW} \sum_{i} F^1_{a,i} F^2_{b,i}` of each image (Yim et al. 2017, eq. 1).

    The larger map is brought to the size of the smaller one by adaptive average pooling.

    Args:
        first: Features (N, C1, H1, W1).
        second: Features (N, C2, H2, W2).

    Returns:
        (N, C1, C2).

    Example:
        >>> import torch
        >>> first = torch.tensor([[[[1.0, 3.0]]]])  # of one channel, at two places
        >>> second = torch.tensor([[[[2.0, 1.0]], [[0.0, 4.0]]]])
        >>> fsp_matrix(first, second)  # (1 * 2 + 3 * 1) / 2, (1 * 0 + 3 * 4) / 2
        tensor([[[2.5000, 6.0000]]])
    """
    size = tuple(min(sides) for sides in zip(first.shape[2:], second.shape[2:], strict=True))
    first, second = (x if tuple(x.shape[2:]) == size else F.adaptive_avg_pool2d(x, size) for x in (first, second))
    return first.flatten(2) @ second.flatten(2).transpose(1, 2) / (size[0] * size[1])


def fsp_loss(student: Sequence[Tensor], teacher: Sequence[Tensor], reduction: str = 'mean') -> Tensor:
    r"""Mean squared error between the FSP matrices of student and teacher, of each two consecutive features.

    .. math:: L = \frac{1}{n - 1} \sum_{l=1}^{n-1} \frac{1}{N C_l C_{l+1}} \lVert M^S_l - M^T_l \rVert^2

    (Yim et al. 2017, A Gift from Knowledge Distillation, eq. 2, which sums over the matrix; the mean over it, as in
    the correlation loss of CenterMask_KD, makes the weight independent of the widths.) That code *sums* over its four
    pairs and divides by its five features: ``reduction='sum'`` with weight 0.2.

    Args:
        student: n features (N, C_l, H_l, W_l), from 2 on, in the order of the network.
        teacher: As many of the teacher, with the same numbers of channels (a connector brings them there). The sizes
            may differ from the student's. They get no gradient.
        reduction: ``'mean'`` or ``'sum'`` over the pairs.

    Returns:
        A scalar, float32 (or float64 if the student is).

    Raises:
        TypeError: ``student`` or ``teacher`` is no list of tensors.
        ValueError: The option is unknown, or the numbers of features, images or channels do not fit.

    Example:
        >>> import torch
        >>> student = [torch.ones(2, 3, 8, 8), torch.ones(2, 5, 4, 4)]  # M = 1 everywhere
        >>> teacher = [3 * torch.ones(2, 3, 8, 8), torch.ones(2, 5, 4, 4)]  # M = 3 everywhere
        >>> fsp_loss(student, teacher).item()
        4.0
    """
    check_choice('FSP loss: reduction', reduction, REDUCTIONS)
    _check_features(student, teacher)
    with autocast_off(student[0].device):
        student = [at_least_float32(x) for x in student]
        teacher = [t.detach().to(s.dtype) for s, t in zip(student, teacher, strict=True)]
        losses = torch.stack(
            [
                F.mse_loss(fsp_matrix(*s), fsp_matrix(*t))
                for s, t in zip(pairwise(student), pairwise(teacher), strict=True)
            ]
        )
        return losses.mean() if reduction == 'mean' else losses.sum()


def _check_features(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> None:
    for name, features in (('student', student), ('teacher', teacher)):
        if isinstance(features, Tensor) or not all(isinstance(x, Tensor) for x in features):
            raise TypeError(f'FSP loss: {name}: a list of features (N, C, H, W) was expected')
    if len(student) != len(teacher) or len(student) < 2:
        raise ValueError(
            f'FSP loss: at least two features and as many of the teacher were expected, got {len(student)} of the '
            f'student and {len(teacher)} of the teacher'
        )
    for s, t in zip(student, teacher, strict=True):
        check_batch(s, t, 'FSP loss', only_maps=True)


@MODELS.register_module()
class FSPLoss(DistillationLoss):
    """Module of :func:`fsp_loss`. It is called once, with the features of all taps or levels.

    Args:
        reduction: See :func:`fsp_loss`.
        loss_weight: Factor on the loss.

    Example:
        >>> import torch
        >>> features = [torch.randn(2, 4, 8, 8), torch.randn(2, 6, 4, 4), torch.randn(2, 8, 2, 2)]
        >>> FSPLoss()(features, features).item()
        0.0
    """

    def __init__(self, reduction: str = 'mean', loss_weight: float = 1.0):
        check_choice('FSP loss: reduction', reduction, REDUCTIONS)
        super().__init__(loss_weight, reduction=reduction)

    def forward(self, levels_S: Sequence[Tensor], levels_T: Sequence[Tensor]) -> Tensor:
        """The weighted loss of two lists of features."""
        return self.loss_weight * fsp_loss(levels_S, levels_T, **self.options)
