"""The tokens of a transformer, laid out as the map they stand for."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmkd.registry import MODELS

from .conv import ConvConnector


@MODELS.register_module()
class TokenMapConnector(BaseModule):
    """Lays tokens (N, L, C) out as a map (N, C, H, W), row by row, so that the losses on maps can compare them.

    Where the teacher has another number of channels, a 1x1 convolution follows. Not for tokens of windows, as Swin's
    blocks have them.

    Args:
        in_channels: C of the tokens.
        out_channels: Channels of the map.
        size: H and W of the grid. None: a square.
        num_prefix_tokens: How many tokens before those of the grid, such as the class token, are left out.
        init_cfg: As in every mmengine module.

    Example:
        >>> import torch
        >>> TokenMapConnector(192, 256, num_prefix_tokens=1)(torch.zeros(2, 1 + 14 * 14, 192)).shape
        torch.Size([2, 256, 14, 14])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: Sequence[int] | None = None,
        num_prefix_tokens: int = 0,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.size = None if size is None else tuple(size)
        self.num_prefix_tokens = num_prefix_tokens
        self.align = nn.Identity() if in_channels == out_channels else ConvConnector(in_channels, out_channels)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, num_prefix_tokens + H * W, in_channels) to (N, out_channels, H, W).

        Raises:
            ValueError: They are no tokens, or another number of them.
        """
        if tokens.dim() != 3:
            raise ValueError(f'TokenMapConnector: expected tokens (N, L, C), but got {tuple(tokens.shape)}')
        tokens = tokens[:, self.num_prefix_tokens :]
        number = tokens.shape[1]
        size = self.size or (math.isqrt(number),) * 2
        if size[0] * size[1] != number:
            raise ValueError(
                f'TokenMapConnector: size: {number} tokens, after {self.num_prefix_tokens} at the beginning '
                f'(num_prefix_tokens), do not fill a grid of {size[0]} x {size[1]}; expected size=(H, W) of the grid'
            )
        return self.align(tokens.transpose(1, 2).unflatten(2, size))
