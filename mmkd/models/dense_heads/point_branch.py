"""A branch of CenterMask with point representation."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ['PointBranch']


class PointBranch(nn.Sequential):
    """A 3x3 convolution, ReLU, and a 1x1 convolution.

    Args:
        in_channels: Channels of the map.
        feat_channels: Channels between the two convolutions.
        out_channels: Channels of the result.
    """

    def __init__(self, in_channels: int, feat_channels: int, out_channels: int):
        super().__init__(
            nn.Conv2d(in_channels, feat_channels, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(feat_channels, out_channels, 1),
        )

    def at(self, x: Tensor, image: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """What the branch gives at some cells, without the map of all others.

        With a forward hook on the branch, as a tap of a distillation is, the map is made all the same, for the hook.

        Args:
            x: (B, in_channels, H, W).
            image: (K,) which image each cell is in.
            row: (K,) its y.
            column: (K,) its x.

        Returns:
            (K, out_channels).
        """
        if any(module._forward_hooks or module._forward_pre_hooks for module in self.modules()):
            return self(x)[image, :, row, column]
        first, act, last = self
        hidden = act(first(x))[image, :, row, column]
        return F.linear(hidden, last.weight.flatten(1), last.bias)
