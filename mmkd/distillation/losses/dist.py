"""DIST on dense maps: the student keeps the teacher's order of classes and of pixels, not its probabilities."""

from __future__ import annotations

import torch
from torch import Tensor

from mmkd.registry import MODELS

from .base import DistillationLoss, Levels
from .data_samples import mask_ignored
from .functional import (
    ALIGN,
    align_size,
    check_batch,
    check_choice,
    check_positive,
    check_weight,
    distillation_loss,
    safe_norm,
)


@distillation_loss
def dist_loss(
    student: Tensor,
    teacher: Tensor,
    temperature: float = 1.0,
    inter_weight: float = 1.0,
    intra_weight: float = 1.0,
    mask: Tensor | None = None,
    align: str = 'none',
    align_corners: bool = False,
) -> Tensor:
    r"""Relations between classes at each pixel, and between pixels in each class.

    The maps are laid out as (M, C), a row for each of the M = N*H*W pixels; Y is the softmax over the classes of
    ``logits / T``, :math:`\rho` Pearson's correlation of two vectors (0 if one of them is constant):

    .. math:: L = T^2 \Big[ \frac{w_{inter}}{M} \sum_i (1 - \rho(Y^S_{i,:}, Y^T_{i,:}))
              + \frac{w_{intra}}{C} \sum_c (1 - \rho(Y^S_{:,c}, Y^T_{:,c})) \Big]

    (Huang et al. 2022, Knowledge Distillation from A Stronger Teacher, equations 8 to 10). mmrazor's
    configuration for ImageNet: T = 1, both weights 1, loss weight 2. Equal to its ``DISTLoss`` of the (M, C) rows; of
    the maps themselves that one correlates over images in place of pixels.

    Args:
        student: Logits (N, C, *), C at least 2.
        teacher: Logits (N, C, *). They get no gradient.
        temperature: T, above 0.
        inter_weight: Factor on the relations between classes.
        intra_weight: Factor on the relations between pixels.
        mask: (N, *), bool or weights of at least 0: pixels of weight 0 do not count. A batch without a counting pixel
            gives 0. Has the size the maps have after ``align``.
        align, align_corners: See :func:`~mmkd.distillation.losses.functional.align_size`.

    Returns:
        A scalar; its precision and what raises: see :func:`~mmkd.distillation.losses.functional.distillation_loss`.

    Example:
        >>> import torch
        >>> teacher = torch.randn(2, 5, 4, 4)
        >>> dist_loss(teacher + 3, teacher).item() < 1e-4  # the same distributions
        True
        >>> round(dist_loss(torch.zeros(2, 5, 4, 4), teacher).item(), 4)  # no relation at all: 1 of each
        2.0
    """
    _check_options(temperature, align)
    check_batch(student, teacher, 'DIST loss')
    student, teacher = align_size(student, teacher, align, align_corners, 'DIST loss')
    classes = student.shape[1]
    if classes < 2:
        raise ValueError(
            f'DIST loss: there is no relation between classes of a single one: {tuple(student.shape)}; '
            "PixelWiseLoss(activation='sigmoid') can teach it"
        )
    y_s, y_t = ((x / temperature).softmax(1).movedim(1, -1).reshape(-1, classes) for x in (student, teacher))
    weights = _weights(mask, student)
    total = weights.sum()
    counts = total > 0
    weights = weights / torch.where(counts, total, 1.0)
    inter = (weights * (1 - _pearson(y_s, y_t, dim=1))).sum()
    intra = (1 - _pearson(y_s, y_t, dim=0, weights=weights[:, None])).mean() * counts
    return temperature**2 * (inter_weight * inter + intra_weight * intra)


def _weights(mask: Tensor | None, student: Tensor) -> Tensor:
    """A weight for each row of the (N*H*W, C) layout."""
    shape = (student.shape[0], *student.shape[2:])
    if mask is None:
        return student.new_ones(shape).reshape(-1)
    if mask.shape != shape:
        raise ValueError(
            f'DIST loss: mask is {tuple(mask.shape)}, expected (N, *) = {tuple(shape)}, the size of the compared maps'
        )
    return mask.detach().to(student.dtype).reshape(-1)


def _pearson(a: Tensor, b: Tensor, dim: int, weights: Tensor | None = None, eps: float = 1e-8) -> Tensor:
    """Correlation along ``dim``; with ``weights``, which add up to 1, the weighted one."""
    if weights is None:
        a, b = (x - x.mean(dim, keepdim=True) for x in (a, b))
    else:
        # the square root, since each of the two vectors has it; times their number, so that eps weighs the same
        scale = (weights * weights.shape[0]).sqrt()
        a, b = ((x - (weights * x).sum(dim, keepdim=True)) * scale for x in (a, b))
    return (a * b).sum(dim) / (safe_norm(a, dim) * safe_norm(b, dim) + eps)


def _check_options(temperature, align):
    check_positive('DIST loss: temperature', temperature)
    check_choice('DIST loss: align', align, ALIGN)


@MODELS.register_module()
class DISTLoss(DistillationLoss):
    """Module of :func:`dist_loss`.

    Args:
        temperature, inter_weight, intra_weight, align, align_corners: See :func:`dist_loss`.
        ignore_index: Pixels with this label in the ground truth do not count, nor do those of ``mask``; None: all
            count. Needs data samples with class maps.
        loss_weight: Factor on the loss.
        inter_loss_weight, intra_loss_weight, tau: mmrazor's names for the two weights and the temperature, so that its
            configs run as they are. Each takes the place of ours if given.

    Example:
        >>> import torch
        >>> x = torch.randn(2, 3, 8, 8)
        >>> DISTLoss(loss_weight=2.0)(x, x).item() < 1e-4
        True
    """

    activation = 'softmax'

    def __init__(
        self,
        temperature: float = 1.0,
        inter_weight: float = 1.0,
        intra_weight: float = 1.0,
        align: str = 'none',
        align_corners: bool = False,
        ignore_index: int | None = None,
        loss_weight: float = 1.0,
        inter_loss_weight: float | None = None,
        intra_loss_weight: float | None = None,
        tau: float | None = None,
    ):
        temperature = temperature if tau is None else tau
        inter_weight = inter_weight if inter_loss_weight is None else inter_loss_weight
        intra_weight = intra_weight if intra_loss_weight is None else intra_loss_weight
        _check_options(temperature, align)
        check_weight('DIST loss: inter_weight', inter_weight)
        check_weight('DIST loss: intra_weight', intra_weight)
        super().__init__(
            loss_weight,
            temperature=temperature,
            inter_weight=inter_weight,
            intra_weight=intra_weight,
            align=align,
            align_corners=align_corners,
        )
        self.ignore_index = ignore_index

    def forward(
        self, preds_S: Levels, preds_T: Levels, mask: Levels | None = None, data_samples: list | None = None
    ) -> Tensor:
        """The weighted loss of logits (N, C, *), or its mean over two lists of levels (with a list of masks)."""
        sized = preds_T if self.options['align'] == 'teacher' else preds_S
        mask = mask_ignored(mask, sized, data_samples, self.ignore_index, 'DIST loss')
        return self.weigh(dist_loss, preds_S, preds_T, mask=mask)

    def extra_repr(self) -> str:
        """The options."""
        return f'{super().extra_repr()}, ignore_index={self.ignore_index!r}'
