"""Cross-entropy of a mask that is the product of two probabilities, from their logits."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmkd.registry import MODELS

__all__ = ['ProductMaskLoss', 'product_bce']


def product_bce(local: Tensor, saliency: Tensor, target: Tensor) -> Tensor:
    r"""Binary cross-entropy of :math:`p = \sigma(l) \sigma(g)`, without ever forming p.

    .. math:: \log p = \log\sigma(l) + \log\sigma(g), \qquad
              \log(1 - p) = \log\left(\sigma(-l) + \sigma(l) \sigma(-g)\right)

    The second is a log-sum-exp of terms that are themselves log-sigmoids, so no digit is lost at either end: the loss
    and its gradient are finite for logits of any size. Always computed in float32 at least, as half precision would
    round p to 1.

    Args:
        local: Logits l of the local shape, any shape.
        saliency: Logits g of the global saliency, the same shape.
        target: The same shape, in [0, 1].

    Returns:
        The loss of each element.

    Example:
        >>> import torch
        >>> zero = torch.zeros(1)  # p = 1/4
        >>> round(product_bce(zero, zero, torch.ones(1)).item(), 4)  # log 4
        1.3863
    """
    with torch.autocast(local.device.type, enabled=False):
        if local.dtype != torch.float64:
            local, saliency = local.float(), saliency.float()
        target = target.to(local)
        log_local = F.logsigmoid(local)
        log_p = log_local + F.logsigmoid(saliency)
        log_not_p = torch.logaddexp(F.logsigmoid(-local), log_local + F.logsigmoid(-saliency))
        return -(target * log_p + (1 - target) * log_not_p)


@MODELS.register_module()
class ProductMaskLoss(nn.Module):
    """Mean over the objects of the mean of :func:`product_bce` over the cells of each (Wang et al. 2020, equation 4).

    Args:
        loss_weight: Factor on the loss.
    """

    def __init__(self, loss_weight: float = 1.0):
        super().__init__()
        self.loss_weight = loss_weight

    def forward(
        self,
        local: Tensor,
        saliency: Tensor,
        target: Tensor,
        box: Tensor,
        count: Tensor,
        avg_factor: Tensor | float | None = None,
    ) -> Tensor:
        """The loss of the P cells of K objects.

        Args:
            local: (P,) logits of the local shape.
            saliency: (P,) logits of the global saliency.
            target: (P,) in [0, 1].
            box: (P,) which object each cell belongs to.
            count: (K,) how many cells each object has.
            avg_factor: What the sum over the objects is divided by; default: K, at least 1.

        Returns:
            A scalar; 0 without objects.
        """
        losses = product_bce(local, saliency, target)
        if avg_factor is None:
            avg_factor = max(1, len(count))
        return self.loss_weight * (losses / count[box]).sum() / avg_factor
