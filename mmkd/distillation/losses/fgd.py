"""FGD: where objects are and where attention is the features count more, and their relations are kept."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmkd.registry import MODELS

from .base import DistillationLoss, Levels
from .data_samples import ground_truth_boxes, image_size
from .functional import (
    ALIGN,
    align_size,
    at_least_float32,
    check_batch,
    check_choice,
    check_positive,
    check_weight,
    distillation_loss,
)

REDUCTIONS = ('mean', 'batch_sum')


def foreground_masks(
    boxes: Sequence[Tensor], map_size: Sequence[int], image_size: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """The scale masks of FGD (equations 3 and 4): each box has the same weight in all, and so has the background.

    A position belongs to a box if its cell touches it; a box belongs to one position at least. A position of several
    boxes counts for the smallest. (The released code adds a row and a column to each box.)

    Args:
        boxes: For each of the N images (K, 4), x1 y1 x2 y2 in pixels; K may be 0.
        map_size: Height h and width w of the feature map.
        image_size: Height and width in pixels of what the map stands for, padding included.

    Returns:
        (N, h, w) with 1 / (number of the box's positions) in boxes, and 0 outside; (N, h, w) with 0 in boxes and
        1 / (number of the others) outside.

    Example:
        >>> import torch
        >>> foreground, background = foreground_masks([torch.tensor([[0.0, 0, 16, 8]])], (2, 3), (16, 24))
        >>> foreground
        tensor([[[0.5000, 0.5000, 0.0000],
                 [0.0000, 0.0000, 0.0000]]])
        >>> background
        tensor([[[0.0000, 0.0000, 0.2500],
                 [0.2500, 0.2500, 0.2500]]])
    """
    foreground = torch.stack([_foreground(box, map_size, image_size) for box in boxes])
    background = (foreground == 0).to(foreground.dtype)
    return foreground, background / background.sum((1, 2), keepdim=True).clamp(min=1)


def _foreground(boxes: Tensor, map_size: Sequence[int], image_size: Sequence[int]) -> Tensor:
    boxes = boxes.detach().float()
    if not len(boxes):
        return boxes.new_zeros(tuple(map_size))
    inside, counts = [], []
    for axis, (cells, pixels) in enumerate(zip(map_size, image_size, strict=True)):
        low, high = boxes[:, 1 - axis] * cells / pixels, boxes[:, 3 - axis] * cells / pixels
        first = low.floor().clamp(0, cells - 1)
        last = (high.ceil() - 1).clamp(max=cells - 1).maximum(first)
        positions = torch.arange(cells, device=boxes.device)
        inside.append((positions >= first[:, None]) & (positions <= last[:, None]))
        counts.append(last - first + 1)
    weights = 1 / (counts[0] * counts[1])
    return (inside[0][:, :, None] & inside[1][:, None, :]).mul(weights[:, None, None]).amax(0)


def spatial_attention(feature: Tensor, temperature: float) -> Tensor:
    """(N, C, H, W) to (N, H, W) of mean 1: softmax over the positions of the mean size of the channels."""
    size = feature.abs().mean(1)
    return (size.flatten(1) / temperature).softmax(1).view_as(size) * size[0].numel()


def channel_attention(feature: Tensor, temperature: float) -> Tensor:
    """(N, C, H, W) to (N, C) of mean 1: softmax over the channels of their mean size."""
    return (feature.abs().mean((2, 3)) / temperature).softmax(1) * feature.shape[1]


@distillation_loss
def fgd_focal_loss(
    student: Tensor,
    teacher: Tensor,
    foreground: Tensor,
    background: Tensor,
    fg_weight: float = 0.25,
    bg_weight: float = 0.125,
    attention_weight: float = 0.25,
    temperature: float = 0.5,
    reduction: str = 'mean',
) -> Tensor:
    r"""The focal part of FGD (Yang et al. 2022, Focal and Global Knowledge Distillation for Detectors, eqs. 7 to 10).

    With the masks :math:`M^{fg}, M^{bg}` of :func:`foreground_masks` and the teacher's spatial and channel attention
    :math:`A^S, A^C`,

    .. math:: L = \frac{1}{N} \sum (w_{fg} M^{fg} + w_{bg} M^{bg}) A^S_T A^C_T (S - T)^2
              + \frac{w_{att}}{N} \Big( \sum |A^S_S - A^S_T| + \sum |A^C_S - A^C_T| \Big).

    That is ``reduction='batch_sum'``. ``'mean'`` divides what is summed over channels by C and what is summed over
    positions without a mask by H*W. An object counts as one in both.

    Args:
        student: Features (N, C, H, W).
        teacher: Features (N, C, H, W). They get no gradient.
        foreground: (N, H, W), see :func:`foreground_masks`.
        background: (N, H, W).
        fg_weight: Factor on the error in boxes.
        bg_weight: Factor on the error outside.
        attention_weight: Factor on the difference of the attentions.
        temperature: Of the attentions, above 0.
        reduction: ``'mean'`` or ``'batch_sum'``.

    Returns:
        A scalar; its precision and what raises: see :func:`~mmkd.distillation.losses.functional.distillation_loss`.

    Example:
        >>> import torch
        >>> masks = foreground_masks([torch.tensor([[0.0, 0, 16, 8]])], (2, 3), (16, 24))
        >>> teacher = torch.ones(1, 4, 2, 3)  # attention 1 everywhere; so is the student's of 0
        >>> fgd_focal_loss(torch.zeros(1, 4, 2, 3), teacher, *masks).item()  # 0.25 + 0.125
        0.375
    """
    check_positive('FGD loss: temperature', temperature)
    check_choice('FGD loss: reduction', reduction, REDUCTIONS)
    _check_maps(student, teacher)
    number, channels, height, width = student.shape
    shape = (number, height, width)
    if foreground.shape != shape or background.shape != shape:
        raise ValueError(
            f'FGD loss: the masks are {tuple(foreground.shape)} and {tuple(background.shape)}, expected {shape}'
        )
    space_s, space_t = (spatial_attention(x, temperature) for x in (student, teacher))
    channel_s, channel_t = (channel_attention(x, temperature) for x in (student, teacher))
    error = space_t * torch.einsum('nchw,nc->nhw', (student - teacher).square(), channel_t)
    mask = (fg_weight * foreground + bg_weight * background).to(error.dtype)
    focal = (mask * error).sum()
    space, channel = (space_s - space_t).abs().sum(), (channel_s - channel_t).abs().sum()
    if reduction == 'mean':
        focal, space, channel = focal / channels, space / (height * width), channel / channels
    return (focal + attention_weight * (space + channel)) / number


class GlobalContext(nn.Module):
    """Adds to each position what the map holds as a whole: the GcBlock of GCNet (Cao et al. 2019), ratio 1/2.

    Args:
        channels: Of the feature, at least 2.
    """

    def __init__(self, channels: int):
        super().__init__()
        hidden = channels // 2
        self.weigh = nn.Conv2d(channels, 1, 1)
        self.transform = nn.Sequential(
            nn.Conv2d(channels, hidden, 1), nn.LayerNorm([hidden, 1, 1]), nn.ReLU(), nn.Conv2d(hidden, channels, 1)
        )
        nn.init.kaiming_normal_(self.weigh.weight)
        nn.init.zeros_(self.transform[-1].weight)  # the block begins as the identity
        nn.init.zeros_(self.transform[-1].bias)

    def forward(self, feature: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        weights = self.weigh(feature).flatten(2).softmax(2)
        context = torch.einsum('nci,nki->nc', feature.flatten(2), weights)
        return feature + self.transform(context[:, :, None, None])


@distillation_loss
def fgd_global_loss(
    student: Tensor, teacher: Tensor, student_context: nn.Module, teacher_context: nn.Module, reduction: str = 'mean'
) -> Tensor:
    """The global part of FGD (equation 11): the squared error of the features with their global context.

    Args:
        student: Features (N, C, H, W).
        teacher: Features (N, C, H, W). They get no gradient, but their context's parameters do.
        student_context: A :class:`GlobalContext`.
        teacher_context: Another one.
        reduction: ``'mean'``, or ``'batch_sum'``: the sum divided by N.

    Returns:
        A scalar; its precision and what raises: see :func:`~mmkd.distillation.losses.functional.distillation_loss`.

    Example:
        >>> import torch
        >>> contexts = GlobalContext(4), GlobalContext(4)  # begin as the identity
        >>> fgd_global_loss(torch.zeros(2, 4, 3, 3), torch.ones(2, 4, 3, 3), *contexts).item()
        1.0
    """
    check_choice('FGD loss: reduction', reduction, REDUCTIONS)
    _check_maps(student, teacher)
    loss = F.mse_loss(student_context(student), teacher_context(teacher))
    return loss if reduction == 'mean' else loss * student[0].numel()


def _check_maps(student: Tensor, teacher: Tensor) -> None:
    check_batch(student, teacher, 'FGD loss', only_maps=True)
    if student.shape != teacher.shape:
        raise ValueError(
            f'FGD loss: expected two maps (N, C, H, W) of one size, but got student {tuple(student.shape)}, '
            f'teacher {tuple(teacher.shape)}; align resizes one of them'
        )


@MODELS.register_module()
class FGDLoss(DistillationLoss):
    """:func:`fgd_focal_loss` and :func:`fgd_global_loss` on each level. Reads the boxes of the data samples.

    The context blocks of the global part, two for each level, are parameters of the loss and trained with the student.

    The released weights belong to ``reduction='batch_sum'`` and levels that are added up (``reduce='sum'``): 1e-3,
    5e-4, 1e-3, global 5e-6 for one-stage detectors, 5e-5, 2.5e-5, 5e-5, 5e-7 for two-stage ones. The defaults here are
    the first as means, for 256 channels and, where there is no mask, 28 x 28 positions.

    Args:
        channels: Of the features. Needed for the global part.
        levels: Number of levels.
        fg_weight, bg_weight, attention_weight, temperature: See :func:`fgd_focal_loss`.
        global_weight: Factor on the global part; 0 leaves it out.
        reduction: See :func:`fgd_focal_loss`.
        align, align_corners: See :func:`~mmkd.distillation.losses.functional.align_size`.
        loss_weight: Factor on the loss.

    Raises:
        ValueError: an option is out of range, or ``channels`` is missing.

    Example:
        >>> FGDLoss(channels=256, levels=5).num_levels
        5
    """

    def __init__(
        self,
        channels: int | None = None,
        levels: int = 1,
        fg_weight: float = 0.25,
        bg_weight: float = 0.125,
        attention_weight: float = 0.25,
        global_weight: float = 1.0,
        temperature: float = 0.5,
        reduction: str = 'mean',
        align: str = 'none',
        align_corners: bool = False,
        loss_weight: float = 1.0,
    ):
        check_positive('FGD loss: temperature', temperature)
        check_positive('FGD loss: levels', levels)
        for name, weight in (('fg', fg_weight), ('bg', bg_weight), ('attention', attention_weight)):
            check_weight(f'FGD loss: {name}_weight', weight)
        check_weight('FGD loss: global_weight', global_weight)
        check_choice('FGD loss: reduction', reduction, REDUCTIONS)
        check_choice('FGD loss: align', align, ALIGN)
        if global_weight and channels is None:
            raise ValueError('FGD loss: channels: the number of channels was expected, or global_weight=0')
        super().__init__(
            loss_weight,
            fg_weight=fg_weight,
            bg_weight=bg_weight,
            attention_weight=attention_weight,
            temperature=temperature,
            reduction=reduction,
        )
        self.num_levels = levels
        self.channels = channels
        self.global_weight = global_weight
        self.align = (align, align_corners)
        count = levels if global_weight else 0
        self.student_contexts = nn.ModuleList(GlobalContext(channels) for _ in range(count))
        self.teacher_contexts = nn.ModuleList(GlobalContext(channels) for _ in range(count))

    def forward(self, levels_S: Levels, levels_T: Levels, data_samples: Sequence) -> Tensor:
        """The weighted loss of features (N, C, H, W), or its mean over two lists of levels.

        Raises:
            ValueError: the numbers of levels, channels or images do not fit, or there are no boxes.
        """
        if isinstance(levels_S, Tensor) and isinstance(levels_T, Tensor):
            levels_S, levels_T = [levels_S], [levels_T]
        if not len(levels_S) == len(levels_T) == self.num_levels:
            raise ValueError(
                f'FGD loss: levels_S has {len(levels_S)} levels, levels_T {len(levels_T)}, levels={self.num_levels}'
            )
        boxes, size = ground_truth_boxes(data_samples, 'FGD loss'), image_size(data_samples, 'FGD loss')
        losses = [self._level(i, *pair, boxes, size) for i, pair in enumerate(zip(levels_S, levels_T, strict=True))]
        return self.loss_weight * torch.stack(losses).mean()

    def _level(self, i: int, student: Tensor, teacher: Tensor, boxes: list[Tensor], size: tuple[int, int]) -> Tensor:
        check_batch(student, teacher, 'FGD loss')
        student, teacher = at_least_float32(student), at_least_float32(teacher)
        student, teacher = align_size(student, teacher, *self.align, 'FGD loss')
        if len(boxes) != len(student):
            raise ValueError(f'FGD loss: there are boxes of {len(boxes)} images for {len(student)}')
        masks = (mask.to(student.device) for mask in foreground_masks(boxes, student.shape[2:], size))
        loss = fgd_focal_loss(student, teacher, *masks, **self.options)
        if not self.global_weight:
            return loss
        if student.shape[1] != self.channels:
            raise ValueError(f'FGD loss: channels={self.channels}, but the features are {tuple(student.shape)}')
        contexts = self.student_contexts[i], self.teacher_contexts[i]
        return loss + self.global_weight * fgd_global_loss(student, teacher, *contexts, self.options['reduction'])

    def extra_repr(self) -> str:
        """The options, with the weight of the global part."""
        return f'{super().extra_repr()}, global_weight={self.global_weight!r}'
