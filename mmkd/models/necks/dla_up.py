"""Iterative up-sampling of the levels of DLA, as in CenterNet."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmcv.cnn import build_conv_layer, build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmkd.registry import MODELS

__all__ = ['DLANeck', 'DLAUp', 'IDAUp']


class ConvNode(nn.Module):
    """3x3 convolution, ordinary or deformable, norm, ReLU. With a bias, as the original has it."""

    def __init__(self, in_channels: int, channels: int, conv_cfg: dict | None, norm_cfg: dict):
        super().__init__()
        self.conv = build_conv_layer(conv_cfg, in_channels, channels, 3, padding=1, bias=True)
        self.norm = build_norm_layer(norm_cfg, channels)[1]
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.norm(self.conv(x)))


class IDAUp(BaseModule):
    """Iterative deep aggregation: each map is brought to the size of the first and added to the one before it.

    Args:
        in_channels: Channels of each map, the finest first.
        channels: Channels of the result.
        factors: How much smaller each map is than the first; 1 for the first.
        conv_cfg: Convolution: None for an ordinary one, ``dict(type='DCNv2')`` for a deformable one.
        norm_cfg: Norm layer.
        init_cfg: mmengine's initialisation config. Whatever it is, up-sampling begins as bilinear.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int,
        factors: Sequence[int],
        conv_cfg: dict | None = None,
        norm_cfg: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg)
        norm_cfg = norm_cfg or dict(type='BN')
        self.num_maps = len(in_channels)
        for i in range(1, self.num_maps):
            factor = int(factors[i])
            up = nn.Identity()
            if factor > 1:
                up = nn.ConvTranspose2d(
                    channels, channels, 2 * factor, factor, factor // 2, groups=channels, bias=False
                )
                fill_bilinear(up)
            self.add_module(f'proj_{i}', ConvNode(in_channels[i], channels, conv_cfg, norm_cfg))
            self.add_module(f'up_{i}', up)
            self.add_module(f'node_{i}', ConvNode(channels, channels, conv_cfg, norm_cfg))

    def init_weights(self) -> None:
        """Initialises as ``init_cfg`` says, up-sampling as bilinear interpolation."""
        super().init_weights()
        for module in self.modules():
            if isinstance(module, nn.ConvTranspose2d):
                fill_bilinear(module)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Aggregates.

        Args:
            maps: (N, in_channels[i], H / factors[i], W / factors[i]) each.

        Returns:
            The first map as it is, and the aggregation up to each further one, (N, channels, H, W). The last is the
            result.
        """
        outs = [maps[0]]
        for i in range(1, self.num_maps):
            projected = getattr(self, f'up_{i}')(getattr(self, f'proj_{i}')(maps[i]))
            outs.append(getattr(self, f'node_{i}')(projected + outs[-1]))
        return outs


class DLAUp(BaseModule):
    """A pyramid of :class:`IDAUp`: the coarsest maps are aggregated first, the next finer one with what came out, ...

    Args:
        in_channels: Channels of each map, the finest first; each map has half the side of the one before.
        conv_cfg: As for :class:`IDAUp`.
        norm_cfg: As for :class:`IDAUp`.
        init_cfg: mmengine's initialisation config.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        conv_cfg: dict | None = None,
        norm_cfg: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg)
        self.num_maps = len(in_channels)
        for i in range(self.num_maps - 1):
            first = self.num_maps - 2 - i
            # after the steps before all maps behind the next one have its size and its channels
            coarse = [in_channels[first + 1]] * (i + 1)
            ida = IDAUp([in_channels[first], *coarse], in_channels[first], [1, *[2] * (i + 1)], conv_cfg, norm_cfg)
            self.add_module(f'ida_{i}', ida)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps (N, in_channels[i], H / 2^i, W / 2^i) to as many of the same sizes and channels."""
        maps = list(maps)
        outs = [maps[-1]]
        for i in range(self.num_maps - 1):
            first = self.num_maps - 2 - i
            maps[first:] = getattr(self, f'ida_{i}')(maps[first:])
            outs.insert(0, maps[-1])
        return outs


@MODELS.register_module()
class DLANeck(BaseModule):
    """The neck of CenterNet with DLA (Zhou et al. 2019): :class:`DLAUp`, then :class:`IDAUp` over its finer maps.

    Args:
        in_channels: Channels of the levels from the backbone, the finest first; each has half the side of the one
            before. (64, 128, 256, 512) for levels 2 to 5 of DLA-34.
        num_outs_joined: How many of the finest maps of the pyramid the last step joins; default: all but the coarsest.
        conv_cfg: Convolution of all nodes: None for an ordinary one, ``dict(type='DCNv2', deform_groups=1)`` for a
            deformable one, as CenterNet has it.
        norm_cfg: Norm layer.
        init_cfg: mmengine's initialisation config.

    Raises:
        ValueError: Fewer than two levels, or ``num_outs_joined`` does not fit.

    Example:
        >>> neck = DLANeck((16, 32, 64), norm_cfg=dict(type='BN'))
        >>> maps = [torch.rand(1, c, 32 // 2**i, 48 // 2**i) for i, c in enumerate((16, 32, 64))]
        >>> [tuple(x.shape) for x in neck(maps)]
        [(1, 16, 32, 48)]
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (64, 128, 256, 512),
        num_outs_joined: int | None = None,
        conv_cfg: dict | None = None,
        norm_cfg: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg)
        levels = len(in_channels)
        joined = levels - 1 if num_outs_joined is None else num_outs_joined
        if levels < 2 or not 1 <= joined <= levels:
            raise ValueError(
                f'DLANeck: in_channels has {levels} levels and num_outs_joined is {num_outs_joined}, expected at least '
                'two levels and 1 to as many outputs'
            )
        self.in_channels = tuple(in_channels)
        self.out_channels = self.in_channels[0]
        self.dla_up = DLAUp(in_channels, conv_cfg, norm_cfg)
        factors = [2**i for i in range(joined)]
        self.ida_up = IDAUp(in_channels[:joined], in_channels[0], factors, conv_cfg, norm_cfg)

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor]:
        """Maps (N, in_channels[i], H / 2^i, W / 2^i) to one of (N, in_channels[0], H, W).

        Raises:
            ValueError: Another number of maps than ``in_channels`` has.
        """
        if len(inputs) != len(self.in_channels):
            raise ValueError(
                f'DLANeck: got {len(inputs)} maps, expected {len(self.in_channels)} as in in_channels '
                f'{self.in_channels}; does backbone.out_indices fit?'
            )
        return (self.ida_up(self.dla_up(inputs)[: self.ida_up.num_maps])[-1],)


def fill_bilinear(up: nn.ConvTranspose2d) -> None:
    """Sets the weights (C, 1, 2f, 2f) of a depthwise transposed convolution of stride f to bilinear interpolation."""
    size = up.kernel_size[0]
    distance = (torch.arange(size, dtype=torch.float32) - (size - 1) / 2).abs() * 2 / size
    tent = 1 - distance
    with torch.no_grad():
        up.weight.copy_(tent[:, None] * tent)
