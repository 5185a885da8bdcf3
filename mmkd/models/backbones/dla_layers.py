"""Blocks of deep layer aggregation, under the names of the original implementation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmcv.cnn import build_norm_layer
from torch import Tensor, nn

__all__ = ['BasicBlock', 'Bottleneck', 'Root', 'Tree', 'conv_level']


def _norm(norm_cfg: dict, channels: int) -> nn.Module:
    return build_norm_layer(norm_cfg, channels)[1]


def conv_level(in_channels: int, channels: int, kernel_size: int, norm_cfg: dict, stride: int = 1) -> nn.Sequential:
    """Convolution, norm, ReLU."""
    conv = nn.Conv2d(in_channels, channels, kernel_size, stride=stride, padding=kernel_size // 2, bias=False)
    return nn.Sequential(conv, _norm(norm_cfg, channels), nn.ReLU(inplace=True))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a residual, which is given from outside where the shape changes."""

    def __init__(self, in_channels: int, channels: int, norm_cfg: dict, stride: int = 1, cardinality: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = _norm(norm_cfg, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = _norm(norm_cfg, channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        residual = x if residual is None else residual
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)) + residual)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolution; ``cardinality`` 32 (64) makes it the ResNeXt form, 32 (64) groups in the middle."""

    expansion = 2

    def __init__(self, in_channels: int, channels: int, norm_cfg: dict, stride: int = 1, cardinality: int = 1):
        super().__init__()
        width = channels * cardinality // 32 if cardinality > 1 else channels // self.expansion
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = _norm(norm_cfg, width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, groups=cardinality, bias=False)
        self.bn2 = _norm(norm_cfg, width)
        self.conv3 = nn.Conv2d(width, channels, 1, bias=False)
        self.bn3 = _norm(norm_cfg, channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        residual = x if residual is None else residual
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.relu(self.bn3(self.conv3(x)) + residual)


class Root(nn.Module):
    """Joins the outputs of a tree: a 1x1 convolution over all of them; in the larger networks with a residual."""

    def __init__(self, in_channels: int, channels: int, norm_cfg: dict, residual: bool):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn = _norm(norm_cfg, channels)
        self.relu = nn.ReLU(inplace=True)
        self.residual = residual

    def forward(self, *children: Tensor) -> Tensor:
        x = self.bn(self.conv(torch.cat(children, dim=1)))
        if self.residual:
            x = x + children[0]
        return self.relu(x)


class Tree(nn.Module):
    """Hierarchical deep aggregation of a given depth (Yu et al. 2018, figure 3).

    The original also makes a projection in trees deeper than one, and does not use what it gives. Such a parameter
    never gets a gradient, which stops ``DistributedDataParallel``; here there is none. :meth:`unused_projections` names
    them.

    Args:
        depth: 1 makes two blocks and a root; more makes two trees of depth - 1, the root in the last.
        block: The class of the blocks.
        in_channels: Channels of the input.
        channels: Channels of the output.
        norm_cfg: Norm layer.
        stride: Of the first block.
        with_input: Whether the input goes to the root as well.
        root_channels: Channels the root gets; 0 for what the tree itself makes.
        root_residual: Whether the root has a residual.
        cardinality: Groups of the blocks.
    """

    def __init__(
        self,
        depth: int,
        block: type[nn.Module],
        in_channels: int,
        channels: int,
        norm_cfg: dict,
        stride: int = 1,
        with_input: bool = False,
        root_channels: int = 0,
        root_residual: bool = False,
        cardinality: int = 1,
    ):
        super().__init__()
        self.depth = depth
        self.with_input = with_input
        self.in_channels, self.channels = in_channels, channels
        root_channels = root_channels or 2 * channels
        if with_input:
            root_channels += in_channels
        common = dict(norm_cfg=norm_cfg, cardinality=cardinality)
        if depth == 1:
            self.tree1 = block(in_channels, channels, stride=stride, **common)
            self.tree2 = block(channels, channels, **common)
            self.root = Root(root_channels, channels, norm_cfg, root_residual)
        else:
            common.update(root_residual=root_residual)
            self.tree1 = Tree(depth - 1, block, in_channels, channels, stride=stride, **common)
            self.tree2 = Tree(depth - 1, block, channels, channels, root_channels=root_channels + channels, **common)
        self.downsample = nn.MaxPool2d(stride) if stride > 1 else None
        self.project = None
        if depth == 1 and in_channels != channels:
            conv = nn.Conv2d(in_channels, channels, 1, bias=False)
            self.project = nn.Sequential(conv, _norm(norm_cfg, channels))

    def forward(self, x: Tensor, children: Sequence[Tensor] = ()) -> Tensor:
        """Aggregates.

        Args:
            x: (N, in_channels, H, W).
            children: Further tensors for the root, (N, C, H / stride, W / stride).

        Returns:
            (N, channels, H / stride, W / stride).
        """
        bottom = x if self.downsample is None else self.downsample(x)
        if self.with_input:
            children = (*children, bottom)
        if self.depth > 1:
            x1 = self.tree1(x)
            return self.tree2(x1, children=(*children, x1))
        residual = bottom if self.project is None else self.project(bottom)
        x1 = self.tree1(x, residual)
        x2 = self.tree2(x1)
        return self.root(x2, x1, *children)

    def unused_projections(self, prefix: str = '') -> list[str]:
        """Beginnings of the names that the original's files have for the projections nobody uses."""
        if self.depth == 1:
            return []
        own = [f'{prefix}project.'] if self.in_channels != self.channels else []
        return own + self.tree1.unused_projections(f'{prefix}tree1.') + self.tree2.unused_projections(f'{prefix}tree2.')
