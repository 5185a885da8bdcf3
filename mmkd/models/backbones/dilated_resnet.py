"""The dilated ResNet of the published PSPNet weights of structured knowledge distillation."""

from __future__ import annotations

from collections.abc import Sequence

from mmseg.models.backbones import ResNet
from mmseg.models.backbones.resnet import BasicBlock
from torch import nn

from mmkd.registry import MODELS

from .upstream import UpstreamBackbone


@MODELS.register_module()
class DilatedResNet(UpstreamBackbone, ResNet):
    """A ResNet with output stride 8 in which every 3x3 convolution of a dilated stage is dilated.

    mmseg's ResNet dilates only the first of the two convolutions of a basic block and pools with floor. Weights trained
    otherwise load into it without a word and give other features. Here, as in the networks of structured knowledge
    distillation (Liu et al., CVPR 2019): both convolutions are dilated, max pooling rounds up (an image of 512 x 512
    becomes 129 x 129, then 65 x 65), the stem has three 3x3 convolutions of 64, 64 and 128 channels, and the first
    block of a stage has the dilation of the others.

    Args:
        depth: 18, 34, 50, 101 or 152.
        ceil_mode: Whether max pooling rounds the size up.
        stem_channels: Channels after the stem; half of it within.
        strides: Stride of each stage.
        dilations: Dilation of each stage.
        deep_stem: Three 3x3 convolutions rather than one of 7x7.
        **kwargs: As for mmseg's ResNet.

    Returns of ``forward``, for an input (N, 3, H, W): maps at 1/4, 1/8, 1/8 and 1/8 of the size with 64, 128, 256 and
    512 channels; four times that many for a depth of 50 and more.
    """

    def __init__(
        self,
        depth: int,
        ceil_mode: bool = True,
        stem_channels: int = 128,
        strides: Sequence[int] = (1, 2, 1, 1),
        dilations: Sequence[int] = (1, 1, 2, 4),
        deep_stem: bool = True,
        **kwargs,
    ):
        super().__init__(
            depth, stem_channels=stem_channels, strides=strides, dilations=dilations, deep_stem=deep_stem, **kwargs
        )
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1, ceil_mode=ceil_mode)
        for block in self.modules():
            if isinstance(block, BasicBlock):
                block.conv2.dilation = block.conv1.dilation
                block.conv2.padding = block.conv1.padding
        self.settle()
