"""IoU losses on the four distances of a location to the sides of a box, as FCOS defines them."""

from __future__ import annotations

import torch
from mmdet.models.losses.utils import weight_reduce_loss
from torch import Tensor, nn

from mmkd.registry import MODELS

MODES = ('giou', 'iou', 'linear_iou')


def ltrb_iou_loss(
    pred: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    mode: str = 'giou',
    reduction: str = 'mean',
    avg_factor: Tensor | float | None = None,
) -> Tensor:
    r"""IoU loss between boxes given as distances (left, top, right, bottom) from a common point.

    With the intersection :math:`I`, the union :math:`U` and the area :math:`C` of the enclosing box,

    .. math::
        \mathrm{IoU}^* = \frac{I + 1}{U + 1}, \qquad
        L_{giou} = 1 - \mathrm{IoU}^* + \frac{C - U}{C}, \qquad
        L_{iou} = -\log \mathrm{IoU}^*, \qquad
        L_{linear\_iou} = 1 - \mathrm{IoU}^*.

    The ones keep the logarithm finite for boxes that do not meet. They make the loss depend on the unit of the
    distances: CenterMask2 takes the stride of the level, the first CenterMask takes pixels.

    Args:
        pred: Predicted distances (N, 4), not negative.
        target: True distances (N, 4), in the same unit.
        weight: Weight of each row (N,).
        mode: ``'giou'``, ``'iou'`` or ``'linear_iou'``.
        reduction: ``'none'``, ``'mean'`` or ``'sum'``.
        avg_factor: Divides the sum in place of the number of rows; only with ``reduction='mean'``.

    Returns:
        A scalar, or (N,) with ``reduction='none'``. Half-precision distances are compared in float32.

    Raises:
        ValueError: If the mode is unknown or the shapes differ.

    Source: FCOS (Tian et al. 2019) with GIoU (Rezatofighi et al. 2019), smoothed as in centermask2.

    Example:
        >>> ltrb_iou_loss(torch.ones(1, 4), torch.full((1, 4), 2.0))  # 1 - 5 / 17
        tensor(0.7059)
    """
    if mode not in MODES:
        raise ValueError(f'mode: expected one of {MODES}, got {mode!r}')
    if pred.shape != target.shape or pred.shape[-1] != 4:
        raise ValueError(f'expected distances of one shape (N, 4), got {tuple(pred.shape)} and {tuple(target.shape)}')
    if pred.dtype in (torch.float16, torch.bfloat16):
        pred, target = pred.float(), target.float()

    smaller, larger = torch.minimum(pred, target), torch.maximum(pred, target)
    intersection = _area(smaller)
    union = _area(pred) + _area(target) - intersection
    iou = (intersection + 1) / (union + 1)
    if mode == 'iou':
        loss = -iou.log()
    elif mode == 'linear_iou':
        loss = 1 - iou
    else:
        enclosing = _area(larger)
        # The floor matters only where both boxes are empty, which no positive location has as its target.
        loss = 1 - iou + (enclosing - union) / enclosing.clamp(min=1e-7)
    return weight_reduce_loss(loss, weight, reduction, avg_factor)


def _area(distances: Tensor) -> Tensor:
    left, top, right, bottom = distances.unbind(-1)
    return (left + right) * (top + bottom)


@MODELS.register_module()
class LTRBIoULoss(nn.Module):
    """Module form of :func:`ltrb_iou_loss`, the ``loss_bbox`` of ``CenterMaskFCOSHead``.

    Args:
        mode: ``'giou'``, ``'iou'`` or ``'linear_iou'``.
        reduction: ``'none'``, ``'mean'`` or ``'sum'``.
        loss_weight: Factor of the loss.

    Raises:
        ValueError: If the mode is unknown.
    """

    def __init__(self, mode: str = 'giou', reduction: str = 'mean', loss_weight: float = 1.0):
        super().__init__()
        if mode not in MODES:
            raise ValueError(f'LTRBIoULoss.mode: expected one of {MODES}, got {mode!r}')
        self.mode = mode
        self.reduction = reduction
        self.loss_weight = loss_weight

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: Tensor | float | None = None,
        reduction_override: str | None = None,
    ) -> Tensor:
        """Loss of the distances ``pred`` to ``target``, both (N, 4); see :func:`ltrb_iou_loss`."""
        reduction = reduction_override or self.reduction
        return self.loss_weight * ltrb_iou_loss(pred, target, weight, self.mode, reduction, avg_factor)

    def extra_repr(self) -> str:
        return f'mode={self.mode!r}, reduction={self.reduction!r}, loss_weight={self.loss_weight}'
