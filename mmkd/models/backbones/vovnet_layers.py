"""The parts of VoVNetV2: convolution layers, the eSE gate and the one-shot aggregation block.

Modules are named as in the original implementation (slashes included), so that its checkpoints load by a change of
prefix alone. The functions here return lists of ``(name, module)``; the caller makes one ``nn.Sequential`` of them.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import contextmanager, nullcontext

import torch
import torch.nn.functional as F
from mmcv.cnn import build_conv_layer, build_norm_layer
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

NamedModules = list[tuple[str, nn.Module]]


def conv_norm_relu(
    name: str,
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    norm_cfg: dict,
    stride: int = 1,
    conv_cfg: dict | None = None,
) -> NamedModules:
    """Convolution without bias (padded to keep the size at stride 1), norm, ReLU."""
    conv = build_conv_layer(
        conv_cfg, in_channels, out_channels, kernel_size, stride=stride, padding=kernel_size // 2, bias=False
    )
    return [
        (f'{name}/conv', conv),
        (f'{name}/norm', build_norm_layer(norm_cfg, out_channels)[1]),
        (f'{name}/relu', nn.ReLU(inplace=True)),
    ]


def depthwise_conv_norm_relu(name: str, channels: int, norm_cfg: dict, stride: int = 1) -> NamedModules:
    """Depthwise 3x3 (nothing between) pointwise 1x1, norm, ReLU; in and out channels are equal."""
    return [
        (f'{name}/dw_conv3x3', nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels, bias=False)),
        (f'{name}/pw_conv1x1', nn.Conv2d(channels, channels, 1, bias=False)),
        (f'{name}/pw_norm', build_norm_layer(norm_cfg, channels)[1]),
        (f'{name}/pw_relu', nn.ReLU(inplace=True)),
    ]


def sequential(modules: NamedModules) -> nn.Sequential:
    """An ``nn.Sequential`` of named modules."""
    return nn.Sequential(OrderedDict(modules))


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
        name: Name of the block in the original, e.g. ``'OSA4_2'``; it is part of the names of its children.
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
        with_cp: Recompute the block in the backward pass instead of keeping its activations.
    """

    def __init__(
        self,
        name: str,
        in_channels: int,
        layer_channels: int,
        out_channels: int,
        num_layers: int,
        norm_cfg: dict,
        identity: bool = False,
        with_ese: bool = True,
        depthwise: bool = False,
        dcn: dict | None = None,
        with_cp: bool = False,
    ):
        super().__init__()
        self.identity = identity
        self.with_cp = with_cp
        channels = in_channels
        self.conv_reduction = None
        if depthwise and in_channels != layer_channels:
            self.conv_reduction = sequential(
                conv_norm_relu(f'{name}_reduction_0', in_channels, layer_channels, 1, norm_cfg)
            )
            channels = layer_channels
        self.layers = nn.ModuleList()
        for i in range(num_layers):
            if depthwise:
                layer = depthwise_conv_norm_relu(f'{name}_{i}', layer_channels, norm_cfg)
            else:
                layer = conv_norm_relu(f'{name}_{i}', channels, layer_channels, 3, norm_cfg, conv_cfg=dcn)
            self.layers.append(sequential(layer))
            channels = layer_channels
        self.concat = sequential(
            conv_norm_relu(f'{name}_concat', in_channels + num_layers * layer_channels, out_channels, 1, norm_cfg)
        )
        self.ese = EffectiveSEModule(out_channels) if with_ese else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H, W)."""
        if self.with_cp and self.training and torch.is_grad_enabled():
            return checkpoint(
                self._forward,
                x,
                use_reentrant=False,
                context_fn=lambda: (nullcontext(), _kept_running_statistics(self)),
            )
        return self._forward(x)

    def _forward(self, x: Tensor) -> Tensor:
        features = [x]
        out = x if self.conv_reduction is None else self.conv_reduction(x)
        for layer in self.layers:
            out = layer(out)
            features.append(out)
        out = self.concat(torch.cat(features, dim=1))
        if self.ese is not None:
            out = self.ese(out)
        return out + x if self.identity else out


@contextmanager
def _kept_running_statistics(module: nn.Module):
    """Forward passes inside leave the running statistics of batch norms as they are.

    A checkpointed block runs twice in each step; without this the statistics would move twice as well.
    """
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.training and m.track_running_stats]
    before = [(norm, norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum, num_batches_tracked in before:
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(num_batches_tracked)
