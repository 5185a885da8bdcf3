"""ESPNet encoder: efficient spatial pyramid of dilated convolutions (Mehta et al., ECCV 2018).

Module names follow the published CamVid checkpoints of structured knowledge distillation, so that a converter only adds
prefixes.
"""

from __future__ import annotations

import torch
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmkd.registry import MODELS

NORM_CFG = dict(type='BN', eps=1e-3)
DILATIONS = (1, 2, 4, 8, 16)


def norm_layer(norm_cfg: dict | None, channels: int) -> nn.Module:
    """The norm of a config, by default batch norm; with the eps of ESPNet, 1e-3, unless the config has its own."""
    return build_norm_layer(NORM_CFG | (norm_cfg or {}), channels)[1]


class Conv(nn.Module):
    """A k x k convolution without bias, padded so that only the stride changes the size."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, dilation: int = 1):
        super().__init__()
        padding = (kernel_size - 1) // 2 * dilation
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, padding=padding, dilation=dilation, bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class NormAct(nn.Module):
    """Normalisation, then PReLU with one slope a channel."""

    def __init__(self, channels: int, norm_cfg: dict | None = None):
        super().__init__()
        self.bn = norm_layer(norm_cfg, channels)
        self.act = nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(x))


class ConvNormAct(Conv):
    """Convolution, normalisation, PReLU."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, norm_cfg: dict | None = None
    ):
        super().__init__(in_channels, out_channels, kernel_size, stride)
        self.bn = norm_layer(norm_cfg, out_channels)
        self.act = nn.PReLU(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(super().forward(x)))


class SpatialPyramid(nn.Module):
    """Reduce, then five parallel dilated 3x3 convolutions, summed hierarchically and concatenated.

    The outputs of dilation 2, 4, 8 and 16 are summed cumulatively before the concatenation, which removes the gridding
    pattern of large dilations.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1):
        super().__init__()
        width = out_channels // len(DILATIONS)
        first_width = out_channels - width * (len(DILATIONS) - 1)
        self.c1 = Conv(in_channels, width, kernel_size, stride)
        for dilation in DILATIONS:
            out = first_width if dilation == 1 else width
            self.add_module(f'd{dilation}', Conv(width, out, 3, dilation=dilation))

    def pyramid(self, x: Tensor) -> Tensor:
        """Maps (N, in_channels, H, W) to (N, out_channels, H / stride, W / stride)."""
        x = self.c1(x)
        first, *rest = (getattr(self, f'd{dilation}')(x) for dilation in DILATIONS)
        sums = [rest[0]]
        for branch in rest[1:]:
            sums.append(sums[-1] + branch)
        return torch.cat([first, *sums], dim=1)


class ESPDownsample(SpatialPyramid):
    """A spatial pyramid that halves the size."""

    def __init__(self, in_channels: int, out_channels: int, norm_cfg: dict | None = None):
        super().__init__(in_channels, out_channels, kernel_size=3, stride=2)
        self.bn = norm_layer(norm_cfg, out_channels)
        self.act = nn.PReLU(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(self.pyramid(x)))


class ESPBlock(SpatialPyramid):
    """A spatial pyramid of the same size, with a residual connection if ``add``."""

    def __init__(self, in_channels: int, out_channels: int, add: bool = True, norm_cfg: dict | None = None):
        super().__init__(in_channels, out_channels, kernel_size=1)
        self.bn = NormAct(out_channels, norm_cfg)
        self.add = add

    def forward(self, x: Tensor) -> Tensor:
        out = self.pyramid(x)
        return self.bn(x + out if self.add else out)


@MODELS.register_module()
class ESPNet(BaseModule):
    """The ESPNet-C encoder.

    Args:
        depths: Number of ESP blocks at 1/4 and at 1/8 of the size; the published networks have (2, 8).
        in_channels: Channels of the image.
        norm_cfg: Norm layer (BN, SyncBN, IN, ...); its eps is 1e-3 unless it says otherwise.
        init_cfg: mmengine's initialisation config.

    Returns of ``forward``, for an input (N, 3, H, W): three maps with 19, 131 and 256 channels at 1/2, 1/4 and 1/8 of
    the size, rounded up (16 + 3, 128 + 3 and 2 * 128; the image itself is fed in again at the first two).
    """

    out_channels = (19, 131, 256)

    def __init__(
        self,
        depths: tuple[int, int] = (2, 8),
        in_channels: int = 3,
        norm_cfg: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg)
        self.level1 = ConvNormAct(in_channels, 16, 3, stride=2, norm_cfg=norm_cfg)
        self.shrink = nn.AvgPool2d(3, stride=2, padding=1)
        self.b1 = NormAct(16 + in_channels, norm_cfg)
        self.level2_0 = ESPDownsample(16 + in_channels, 64, norm_cfg)
        self.level2 = nn.ModuleList(ESPBlock(64, 64, norm_cfg=norm_cfg) for _ in range(depths[0]))
        self.b2 = NormAct(128 + in_channels, norm_cfg)
        self.level3_0 = ESPDownsample(128 + in_channels, 128, norm_cfg)
        self.level3 = nn.ModuleList(ESPBlock(128, 128, norm_cfg=norm_cfg) for _ in range(depths[1]))
        self.b3 = NormAct(256, norm_cfg)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        half = self.shrink(x)
        quarter = self.shrink(half)
        out1 = self.b1(torch.cat([self.level1(x), half], dim=1))

        down2 = self.level2_0(out1)
        level2 = down2
        for block in self.level2:
            level2 = block(level2)
        out2 = self.b2(torch.cat([level2, down2, quarter], dim=1))

        down3 = self.level3_0(out2)
        level3 = down3
        for block in self.level3:
            level3 = block(level3)
        out3 = self.b3(torch.cat([down3, level3], dim=1))
        return out1, out2, out3
