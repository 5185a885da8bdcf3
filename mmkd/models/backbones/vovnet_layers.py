"""The parts of VoVNetV2: convolution layers, the eSE gate and the one-shot aggregation block.

The original's module names hold slashes, which neither attributes nor the tools of mmengine and mmdet can take;
:func:`ordinary_name` says what they are here.
"""

from __future__ import annotations

import re
from collections import OrderedDict

import torch
import torch.nn.functional as F
from mmcv.cnn import build_conv_layer, build_norm_layer
from torch import Tensor, nn


def ordinary_name(name: str) -> str:
    """What is called ``name`` in the original and in older files of mmkd; other names stay as they are.

    >>> ordinary_name('stem.stem_1/conv.weight')
    'stem.stem_1.conv.weight'
    >>> ordinary_name('backbone.stage3.OSA3_1.layers.0.OSA3_1_0/norm.bias')
    'backbone.stage3.OSA3_1.layers.0.norm.bias'
    """
    return re.sub(r'(?:\.OSA\d+_\d+_\w+|(\.stem_\d+))/', r'\1.', name)


def conv_norm_relu(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    norm_cfg: dict,
    stride: int = 1,
    conv_cfg: dict | None = None,
) -> nn.Sequential:
    """Convolution without bias (padded to keep the size at stride 1), norm, ReLU."""
    conv = build_conv_layer(
        conv_cfg, in_channels, out_channels, kernel_size, stride=stride, padding=kernel_size // 2, bias=False
    )
    norm = build_norm_layer(norm_cfg, out_channels)[1]
    return nn.Sequential(OrderedDict(conv=conv, norm=norm, relu=nn.ReLU(inplace=True)))


def depthwise_conv_norm_relu(channels: int, norm_cfg: dict, stride: int = 1) -> nn.Sequential:
    """Depthwise 3x3 (nothing between) pointwise 1x1, norm, ReLU; in and out channels are equal."""
    return nn.Sequential(
        OrderedDict(
            dw_conv3x3=nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels, bias=False),
            pw_conv1x1=nn.Conv2d(channels, channels, 1, bias=False),
            pw_norm=build_norm_layer(norm_cfg, channels)[1],
            pw_relu=nn.ReLU(inplace=True),
        )
    )


class EffectiveSEModule(nn.Module):
    """Effective squeeze-and-excitation: ``y = x * hardsigmoid(fc(mean of x over the image))``.

    One fully connected layer with as many outputs as inputs, ``hardsigmoid(z) = relu6(z + 3) / 6``.
    Source: Lee and Park, CenterMask, CVPR 2020, section 3.3.

    Args:
        channels: Channels of the input and of the output.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Gates (N, C, H, W); the shape stays."""
        return x * F.hardsigmoid(self.fc(self.avg_pool(x)))


class OSABlock(nn.Module):
    """One-shot aggregation: a chain of 3x3 layers whose outputs are concatenated once, with the input, at the end.

    ``[x, layer 0, layer 1, ...] -> 1x1 convolution -> eSE -> (+ x)``. Source: Lee et al., VoVNet, CVPRW 2019; the gate
    and the residual are CenterMask's (Lee and Park, CVPR 2020, figure 4).

    Args:
        in_channels: Channels of the input.
        layer_channels: Channels of each 3x3 layer.
        out_channels: Channels of the output.
        num_layers: Number of 3x3 layers.
        norm_cfg: Norm layer.
        identity: Add the input to the output (after the gate, with no ReLU). Needs equal channels.
        with_ese: Gate the output.
        depthwise: Depthwise separable 3x3 layers, after a 1x1 reduction where the channels differ. The concatenation
            takes the input as it came, not the reduced one.
        dcn: mmcv config of a deformable convolution for the 3x3 layers, or None.
    """

    def __init__(
        self,
        in_channels: int,
        layer_channels: int,
        out_channels: int,
        num_layers: int,
        norm_cfg: dict,
        identity: bool = False,
        with_ese: bool = True,
        depthwise: bool = False,
        dcn: dict | None = None,
    ):
        super().__init__()
        self.identity = identity
        channels = in_channels
        self.conv_reduction = None
        if depthwise and in_channels != layer_channels:
            self.conv_reduction = conv_norm_relu(in_channels, layer_channels, 1, norm_cfg)
            channels = layer_channels
        self.layers = nn.ModuleList()
        for _ in range(num_layers):
            if depthwise:
                layer = depthwise_conv_norm_relu(layer_channels, norm_cfg)
            else:
                layer = conv_norm_relu(channels, layer_channels, 3, norm_cfg, conv_cfg=dcn)
            self.layers.append(layer)
            channels = layer_channels
        self.concat = conv_norm_relu(in_channels + num_layers * layer_channels, out_channels, 1, norm_cfg)
        self.ese = EffectiveSEModule(out_channels) if with_ese else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H, W)."""
        features = [x]
        out = x if self.conv_reduction is None else self.conv_reduction(x)
        for layer in self.layers:
            out = layer(out)
            features.append(out)
        out = self.concat(torch.cat(features, dim=1))
        if self.ese is not None:
            out = self.ese(out)
        return out + x if self.identity else out
