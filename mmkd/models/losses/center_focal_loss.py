"""The penalty-reduced focal loss of CornerNet and CenterNet, on logits."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmkd.registry import MODELS

__all__ = ['CenterFocalLoss', 'center_focal_loss']


def center_focal_loss(
    logits: Tensor, target: Tensor, alpha: float = 2.0, beta: float = 4.0, avg_factor: Tensor | float | None = None
) -> Tensor:
    r"""Focal loss for heatmaps in which only a 1 is an object and values near it are punished less.

    With :math:`p = \sigma(x)` and Y the target,

    .. math:: L = -\frac{1}{N} \sum \begin{cases} (1 - p)^\alpha \log p & Y = 1 \\
              (1 - Y)^\beta p^\alpha \log(1 - p) & \text{otherwise} \end{cases}

    (Zhou et al. 2019, Objects as Points, equation 1; Law & Deng 2018). The logarithms are those of the logits, which
    are exact; the originals clamp p to [1e-4, 1 - 1e-4]. Always computed in float32 at least.

    Args:
        logits: (N, C, H, W), or any shape.
        target: The same shape, in [0, 1].
        alpha: How much easy places count less.
        beta: How much places near an object count less.
        avg_factor: What the sum is divided by; default: the number of ones in ``target``, at least 1.

    Returns:
        A scalar.

    Raises:
        ValueError: The shapes differ.

    Example:
        >>> import torch
        >>> round(center_focal_loss(torch.zeros(1, 1, 1, 2), torch.tensor([[[[1.0, 0.5]]]])).item(), 4)
        0.1841
    """
    if logits.shape != target.shape:
        raise ValueError(
            f'center_focal_loss: logits {tuple(logits.shape)} and target {tuple(target.shape)}, expected equal shapes'
        )
    with torch.autocast(logits.device.type, enabled=False):
        logits = logits if logits.dtype == torch.float64 else logits.float()
        target = target.to(logits)
        is_center = target == 1
        log_p, log_not_p = F.logsigmoid(logits), F.logsigmoid(-logits)
        positive = (alpha * log_not_p).exp() * log_p
        negative = (1 - target) ** beta * (alpha * log_p).exp() * log_not_p
        if avg_factor is None:
            avg_factor = is_center.sum().clamp(min=1)
        return -torch.where(is_center, positive, negative).sum() / avg_factor


@MODELS.register_module()
class CenterFocalLoss(nn.Module):
    """:func:`center_focal_loss` as a module.

    Args:
        alpha: How much easy places count less.
        beta: How much places near an object count less.
        loss_weight: Factor on the loss.
    """

    def __init__(self, alpha: float = 2.0, beta: float = 4.0, loss_weight: float = 1.0):
        super().__init__()
        self.alpha, self.beta, self.loss_weight = alpha, beta, loss_weight

    def forward(self, logits: Tensor, target: Tensor, avg_factor: Tensor | float | None = None) -> Tensor:
        """Logits and target (N, C, H, W) to a scalar."""
        return self.loss_weight * center_focal_loss(logits, target, self.alpha, self.beta, avg_factor)
