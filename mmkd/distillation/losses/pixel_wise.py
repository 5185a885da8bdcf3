"""Pixel-wise distillation: the class distributions of student and teacher, compared at every pixel."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmkd.registry import MODELS

from .base import DistillationLoss, Levels
from .boundary import boundary_map, predicted_classes
from .data_samples import label_maps, mask_ignored
from .functional import (
    ALIGN,
    align_size,
    at_least_float32,
    check_batch,
    check_choice,
    check_positive,
    distillation_loss,
)

MODES = ('kl', 'ce')
ACTIVATIONS = ('softmax', 'sigmoid')
BOUNDARIES = ('teacher', 'label')
UNLABELLED = 255  # mmseg's label of pixels without one
REDUCTIONS = ('mean', 'batch_sum', 'class_mean', 'batchmean', 'sum')


@distillation_loss
def pixel_wise_loss(
    student: Tensor,
    teacher: Tensor,
    temperature: float = 1.0,
    mode: str = 'kl',
    activation: str = 'softmax',
    reduction: str = 'mean',
    mask: Tensor | None = None,
    align: str = 'none',
    align_corners: bool = False,
    legacy_unpermuted: bool = False,
) -> Tensor:
    r"""Divergence of the student's class distribution from the teacher's, averaged over the pixels.

    With :math:`p` and :math:`q` the softmax over the C classes of ``teacher / T`` and ``student / T`` at a pixel,

    .. math:: \ell = T^2 \sum_c p_c (\log p_c - \log q_c) \quad (kl), \qquad
              \ell = -T^2 \sum_c p_c \log q_c \quad (ce).

    Both have the same gradient; kl is zero where the two agree. The factor :math:`T^2` keeps the size of the gradient
    about the same at any temperature T (Hinton et al. 2015, section 2). ``activation='sigmoid'`` takes each class as a
    binary decision, as detectors with a focal loss are trained, and sums the C binary divergences.

    The sum over all pixels is divided according to ``reduction``; M is the number of pixels N*H*W, or the sum of the
    mask:

    ============== ================= =====================================================================
    ``mean``       M                 weight independent of batch and image size (default); each level of
                                     CenterMask_KD; Structured Knowledge Distillation (Liu et al. 2019)
    ``batch_sum``  M / N             released code of the latter: grows with the batch
    ``class_mean`` M * C             its first (CVPR) code, and ``nn.KLDivLoss()`` as in DeepLabV3+ KD
    ``batchmean``  N                 mmrazor's ``KLDivergence``: grows with the image
    ``sum``        1                 nothing divided
    ============== ================= =====================================================================

    Args:
        student: Logits (N, C, *), before softmax or sigmoid.
        teacher: Logits (N, C, *). They get no gradient.
        temperature: T, above 0.
        mode: ``'kl'`` or ``'ce'``.
        activation: ``'softmax'`` over the classes, or ``'sigmoid'`` per class.
        reduction: See the table.
        mask: (N, *), bool or weights of at least 0; pixels of weight 0 do not count. A batch without a counting pixel
            gives 0. Has the size the maps have after ``align``.
        align, align_corners: See :func:`~mmkd.distillation.losses.functional.align_size`. ``align_corners`` is True
            in both codes of Structured Knowledge Distillation.
        legacy_unpermuted: The released code up to December 2019 reshaped (N, C, H, W) to (-1, C) without moving the
            channel axis, so that its softmax ran over C neighbouring values of one row instead of over the classes.
            Only for reproducing numbers of that time; softmax only, no mask.

    Returns:
        A scalar; its precision and what raises: see :func:`~mmkd.distillation.losses.functional.distillation_loss`.

    Example:
        >>> import torch
        >>> student = torch.zeros(2, 2, 4, 4)  # q = (1/2, 1/2) everywhere
        >>> teacher = torch.tensor([0.75, 0.25]).log().view(1, 2, 1, 1).expand(2, 2, 4, 4)
        >>> round(pixel_wise_loss(student, teacher).item(), 4)  # .75 log(.75/.5) + .25 log(.25/.5)
        0.1308
    """
    _check_options(temperature, mode, activation, reduction, align, legacy_unpermuted)
    check_batch(student, teacher, 'pixel-wise loss')
    student, teacher = align_size(student, teacher, align, align_corners, 'pixel-wise loss')
    number, num_classes = student.shape[:2]
    if activation == 'softmax' and num_classes == 1:
        raise ValueError(
            f'pixel-wise loss: a softmax over one class is always 1 and teaches nothing: student '
            f"{tuple(student.shape)}; activation='sigmoid' takes it as a binary decision"
        )
    if legacy_unpermuted:
        if mask is not None:
            raise ValueError('pixel-wise loss: legacy_unpermuted mixes pixels, so it takes no mask')
        student, teacher = student.reshape(-1, num_classes), teacher.reshape(-1, num_classes)
    divergence = _softmax_divergence if activation == 'softmax' else _sigmoid_divergence
    per_pixel = divergence(student / temperature, teacher / temperature, mode) * temperature**2
    total, pixels = _masked_sum(per_pixel, mask)
    divisor = {
        'mean': pixels,
        'batch_sum': pixels / number,
        'class_mean': pixels * num_classes,
        'batchmean': number,
        'sum': 1,
    }
    return total / divisor[reduction]


def _softmax_divergence(student: Tensor, teacher: Tensor, mode: str) -> Tensor:
    log_q, log_p = F.log_softmax(student, dim=1), F.log_softmax(teacher, dim=1)
    return (log_p.exp() * (log_p - log_q if mode == 'kl' else -log_q)).sum(dim=1)


def _sigmoid_divergence(student: Tensor, teacher: Tensor, mode: str) -> Tensor:
    # log(1 - sigmoid(x)) = logsigmoid(-x): exact also where the sigmoid rounds to 1
    loss = 0
    for sign in (1, -1):
        log_q, log_p = F.logsigmoid(sign * student), F.logsigmoid(sign * teacher)
        loss = loss + log_p.exp() * (log_p - log_q if mode == 'kl' else -log_q)
    return loss.sum(dim=1)


def _masked_sum(per_pixel: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | int]:
    """The sum of the loss over the pixels, and what to divide by for their mean."""
    if mask is None:
        return per_pixel.sum(), max(per_pixel.numel(), 1)
    if mask.shape != per_pixel.shape:
        raise ValueError(
            f'pixel-wise loss: mask is {tuple(mask.shape)}, expected (N, *) = {tuple(per_pixel.shape)}, '
            'the size of the compared maps'
        )
    mask = mask.detach().to(per_pixel.dtype)
    pixels = mask.sum()
    return (per_pixel * mask).sum(), torch.where(pixels > 0, pixels, 1.0)


def _check_options(temperature, mode, activation, reduction, align, legacy_unpermuted):
    check_positive('pixel-wise loss: temperature', temperature)
    check_choice('pixel-wise loss: mode', mode, MODES)
    check_choice('pixel-wise loss: activation', activation, ACTIVATIONS)
    check_choice('pixel-wise loss: reduction', reduction, REDUCTIONS)
    check_choice('pixel-wise loss: align', align, ALIGN)
    if legacy_unpermuted and activation != 'softmax':
        raise ValueError(f"pixel-wise loss: legacy_unpermuted needs activation='softmax', but got {activation!r}")


@MODELS.register_module()
class PixelWiseLoss(DistillationLoss):
    """Module of :func:`pixel_wise_loss`, which may give more weight to the pixels along borders between classes.

    There the teacher knows most that the labels do not say, and a student errs most (Liu et al. 2024, BPKD: Boundary
    Privileged Knowledge Distillation, which treats this band on its own). Pixels without a label have no border.

    Args:
        temperature, mode, reduction, align, align_corners, legacy_unpermuted: See :func:`pixel_wise_loss`.
        activation: ``'softmax'``, ``'sigmoid'``, or ``'auto'``, which ``DenseDistill`` reads from the head of the
            student before training. Without an algorithm around it the loss cannot know, and needs one of the others.
        boundary_weight: How often a pixel near a border counts, above 0; the others count once.
        boundary_width: How many pixels of the compared maps the band reaches to either side.
        boundary_of: Whose borders: those of the classes that the ``'teacher'`` predicts, or of the ``'label'`` in the
            data samples.
        ignore_index: Pixels with this label in the ground truth do not count, nor do those of ``mask``; None: all
            count. Needs data samples with class maps.
        loss_weight: Factor on the loss.

    Raises:
        ValueError: an option is unknown or out of range; in ``forward``, ``activation`` is still ``'auto'``.

    Example:
        >>> import torch
        >>> loss = PixelWiseLoss(activation='sigmoid', loss_weight=2.0)
        >>> levels = [torch.randn(2, 5, size, size) for size in (8, 4)]
        >>> loss(levels, levels).item()
        0.0
    """

    def __init__(
        self,
        temperature: float = 1.0,
        mode: str = 'kl',
        activation: str = 'auto',
        reduction: str = 'mean',
        align: str = 'none',
        align_corners: bool = False,
        legacy_unpermuted: bool = False,
        boundary_weight: float = 1.0,
        boundary_width: int = 1,
        boundary_of: str = 'teacher',
        ignore_index: int | None = None,
        loss_weight: float = 1.0,
    ):
        if activation == 'auto' and legacy_unpermuted:
            activation = 'softmax'
        check_choice('pixel-wise loss: activation', activation, ('auto', *ACTIVATIONS))
        known = 'softmax' if activation == 'auto' else activation
        _check_options(temperature, mode, known, reduction, align, legacy_unpermuted)
        check_positive('pixel-wise loss: boundary_weight', boundary_weight)
        check_positive('pixel-wise loss: boundary_width', boundary_width)
        check_choice('pixel-wise loss: boundary_of', boundary_of, BOUNDARIES)
        super().__init__(
            loss_weight,
            temperature=temperature,
            mode=mode,
            activation=activation,
            reduction=reduction,
            align=align,
            align_corners=align_corners,
            legacy_unpermuted=legacy_unpermuted,
        )
        self.boundary_weight = boundary_weight
        self.boundary_width = boundary_width
        self.boundary_of = boundary_of
        self.ignore_index = ignore_index

    @property
    def activation(self) -> str:
        """``'softmax'``, ``'sigmoid'``, or ``'auto'`` until the algorithm has set one of them."""
        return self.options['activation']

    @activation.setter
    def activation(self, value: str) -> None:
        check_choice('pixel-wise loss: activation', value, ACTIVATIONS)
        self.options['activation'] = value

    def forward(
        self, preds_S: Levels, preds_T: Levels, mask: Levels | None = None, data_samples: Sequence | None = None
    ) -> Tensor:
        """The weighted loss of logits (N, C, *), or its mean over two lists of levels (with a list of masks)."""
        if self.activation == 'auto':
            raise ValueError(
                "PixelWiseLoss: activation='auto' is read from the student's head by DenseDistill before training; "
                "elsewhere write activation='softmax' or activation='sigmoid', as the head was trained"
            )
        sized = preds_T if self.options['align'] == 'teacher' else preds_S
        mask = mask_ignored(mask, sized, data_samples, self.ignore_index, 'pixel-wise loss')
        if self.boundary_weight == 1:
            return self.weigh(pixel_wise_loss, preds_S, preds_T, mask=mask)
        function = functools.partial(self._with_borders, data_samples=data_samples)
        return self.weigh(function, preds_S, preds_T, mask=mask)

    def _with_borders(self, student, teacher, mask, data_samples, **options) -> Tensor:
        """The loss of one level, with the weights of the borders in its mask."""
        check_batch(student, teacher, 'pixel-wise loss')
        sized = at_least_float32(student.detach()), at_least_float32(teacher.detach())
        sized = align_size(*sized, options['align'], options['align_corners'], 'pixel-wise loss')
        if self.boundary_of == 'teacher':
            classes, unlabelled = predicted_classes(sized[1], options['activation']), -1
        else:
            classes = label_maps(data_samples or [], sized[0].shape[2:], "pixel-wise loss with boundary_of='label'")
            unlabelled = UNLABELLED if self.ignore_index is None else self.ignore_index
        near = boundary_map(classes.to(student.device), self.boundary_width, unlabelled)
        weights = torch.where(near, self.boundary_weight, 1.0)
        return pixel_wise_loss(student, teacher, **options, mask=weights if mask is None else weights * mask)

    def extra_repr(self) -> str:
        """The options."""
        options = f'{super().extra_repr()}, ignore_index={self.ignore_index!r}'
        if self.boundary_weight == 1:
            return options
        return f'{options}, boundary_weight={self.boundary_weight!r}, boundary_of={self.boundary_of!r}'
