"""The focal loss of pytorch-deeplab-xception, which weighs a batch and not its pixels."""

from __future__ import annotations

from mmseg.models.losses import CrossEntropyLoss
from torch import Tensor

from mmkd.registry import MODELS


@MODELS.register_module()
class FocalOfMeanLoss(CrossEntropyLoss):
    r"""A focal factor on the mean cross-entropy L of a batch: :math:`\alpha (1 - e^{-L})^\gamma L`.

    Only for reproducing DeepLabV3+-KD and pytorch-deeplab-xception, where the factor comes after the mean and hence
    does not tell easy pixels from hard ones. What Lin et al. (ICCV 2017) mean is mmseg's ``FocalLoss``, a factor for
    each pixel and binary decisions, which cannot be set to give the same.

    Args:
        gamma: Exponent.
        alpha: Factor.
        avg_non_ignore: As for mmseg's ``CrossEntropyLoss``; by default the mean is over pixels with a label.
        loss_weight: Factor on the loss; the originals divide by the batch size.
        **kwargs: As for mmseg's ``CrossEntropyLoss``.
    """

    def __init__(
        self,
        gamma: float = 2.0,
        alpha: float = 0.5,
        avg_non_ignore: bool = True,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_focal',
        **kwargs,
    ):
        super().__init__(avg_non_ignore=avg_non_ignore, loss_name=loss_name, **kwargs)
        self.gamma, self.alpha, self.factor = gamma, alpha, loss_weight

    def forward(self, *args, **kwargs) -> Tensor:
        """As mmseg's ``CrossEntropyLoss``, for logits (N, K, H, W) and labels (N, H, W)."""
        loss = super().forward(*args, **kwargs)
        return self.factor * self.alpha * (1 - (-loss).exp()) ** self.gamma * loss
