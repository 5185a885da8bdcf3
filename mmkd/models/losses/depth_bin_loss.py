"""Depth as a classification into bins, and its loss."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mmkd.registry import MODELS

__all__ = ['DepthBinLoss', 'DepthBins', 'depth_bin_loss']

# Weights below this do not change a float32 loss.
NEGLIGIBLE = 1e-8


class DepthBins:
    """Bins of equal width in the logarithm of the depth.

    Args:
        number: How many.
        min_depth: Where the first begins, in metres, above 0. Nearer is taken as this.
        max_depth: Where the last ends, in metres. Farther belongs to the last one.

    Raises:
        ValueError: The range is empty, or there are fewer than two bins.
    """

    def __init__(self, number: int, min_depth: float, max_depth: float):
        if number < 2 or not 0 < min_depth < max_depth:
            raise ValueError(
                f'depth bins: at least 2 between 0 < min_depth < max_depth were expected, got {number} '
                f'between {min_depth} and {max_depth}'
            )
        self.number, self.min_depth, self.max_depth = number, min_depth, max_depth
        self.width = math.log(max_depth / min_depth) / number

    def centers(self, like: Tensor) -> Tensor:
        """Logarithms of the depths in the middle of the bins, (number,)."""
        places = torch.arange(self.number, device=like.device, dtype=like.dtype)
        return math.log(self.min_depth) + self.width * (places + 0.5)

    def index_of(self, depth: Tensor) -> Tensor:
        """The bin of each depth, in metres; of 0 and less, -1."""
        index = ((depth.clamp(min=self.min_depth) / self.min_depth).log() / self.width).long()
        return torch.where(depth > 0, index.clamp(0, self.number - 1), -1)

    def depth_of(self, logits: Tensor) -> Tensor:
        """The expected depth (N, 1, H, W), in metres, of logits (N, number, H, W).

        The mean is taken of the logarithms, over all bins with their probabilities (Yin et al. 2019, section 3.4).
        """
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return (logits.softmax(dim=1) * self.centers(logits).view(1, -1, 1, 1)).sum(dim=1, keepdim=True).exp()


def depth_bin_loss(logits: Tensor, index: Tensor, alpha: float = 0.2) -> Tensor:
    r"""Cross-entropy over depth bins in which near misses count as well.

    With p the softmax of the logits at a pixel, and b the bin of its true depth,

    .. math:: \ell = -\sum_i e^{-\alpha (i - b)^2} \log p_i

    and the loss is the mean over the pixels with a reading (Cao et al. 2017; Yin et al. 2019, section 3.4).

    Args:
        logits: (N, B, H, W).
        index: The true bin of each pixel (N, H, W), -1 where there is no reading.
        alpha: How fast the weight of a bin falls with its distance from the true one.

    Returns:
        A scalar; zero, with a gradient of zero, where no pixel has a reading.

    Raises:
        ValueError: The shapes do not fit.

    Example:
        >>> import torch
        >>> loss = depth_bin_loss(torch.zeros(1, 2, 1, 1), torch.zeros(1, 1, 1, dtype=torch.long), alpha=0.2)
        >>> round(loss.item(), 4)  # (1 + exp(-.2)) log 2
        1.2606
    """
    if logits.dim() != 4 or index.shape != (len(logits), *logits.shape[2:]):
        raise ValueError(
            f'depth bin loss: logits (N, B, H, W) and index (N, H, W) were expected, got {tuple(logits.shape)} and '
            f'{tuple(index.shape)}'
        )
    # Only the bins that matter are gathered: with 150 of them a table of all weights would be as large as the logits.
    radius = logits.shape[1] - 1
    if alpha > 0:
        radius = min(radius, math.ceil(math.sqrt(-math.log(NEGLIGIBLE) / alpha)))
    offsets = torch.arange(-radius, radius + 1, device=logits.device).view(1, -1, 1, 1)
    places = index.unsqueeze(1) + offsets
    valid = index >= 0
    exists = (places >= 0) & (places < logits.shape[1]) & valid.unsqueeze(1)
    with torch.autocast(logits.device.type, enabled=False):
        log_p = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(dim=1)
        near = log_p.gather(1, places.clamp(0, logits.shape[1] - 1))
        weights = (-alpha * offsets.to(log_p.dtype).square()).exp()
        total = -(near * torch.where(exists, weights, 0.0)).sum()
        return total / valid.sum().clamp(min=1)


@MODELS.register_module()
class DepthBinLoss(nn.Module):
    """Module of :func:`depth_bin_loss`.

    Args:
        alpha: See :func:`depth_bin_loss`.
        loss_weight: Factor on the loss.
        loss_name: Its name in the log.
    """

    def __init__(self, alpha: float = 0.2, loss_weight: float = 1.0, loss_name: str = 'loss_bins'):
        super().__init__()
        if alpha < 0:
            raise ValueError(f'DepthBinLoss: alpha is {alpha!r}, expected 0 or more')
        self.alpha, self.loss_weight, self.loss_name = alpha, loss_weight, loss_name

    def forward(self, logits: Tensor, index: Tensor) -> Tensor:
        """The weighted loss; for shapes see :func:`depth_bin_loss`."""
        return self.loss_weight * depth_bin_loss(logits, index, self.alpha)

    def extra_repr(self) -> str:
        return f'alpha={self.alpha}, loss_weight={self.loss_weight}'
