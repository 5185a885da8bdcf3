"""MobileNetV2 with output stride 8 that keeps what its ImageNet weights compute."""

from __future__ import annotations

from collections.abc import Sequence

from mmseg.models.backbones import MobileNetV2 as MMSegMobileNetV2

from mmkd.registry import MODELS

from .upstream import UpstreamBackbone


@MODELS.register_module()
class DilatedMobileNetV2(UpstreamBackbone, MMSegMobileNetV2):
    """mmseg's MobileNetV2 with the dilation in every block that needs it.

    Where a stride is taken away, all later 3x3 convolutions must be dilated for the weights to see what they were
    trained on (the atrous algorithm; Chen et al., 2018). mmseg dilates the first block of each layer only. Here the
    first block has the dilation of the layer before, since it stood before the stride, and the others that of their
    layer: at every fourth position the output is that of the network with stride 32.

    Args:
        strides: Stride of each of the seven layers.
        dilations: Dilation of each layer, from its second block on.
        **kwargs: As for mmseg's.

    Returns of ``forward``, for an input (N, 3, H, W) and the default ``out_indices``: maps with 24, 32, 96 and 320
    channels at 1/4, 1/8, 1/8 and 1/8 of the size.
    """

    def __init__(
        self,
        strides: Sequence[int] = (1, 2, 2, 1, 1, 1, 1),
        dilations: Sequence[int] = (1, 1, 1, 2, 2, 4, 4),
        **kwargs,
    ):
        super().__init__(strides=strides, dilations=dilations, **kwargs)
        before = 1
        for name, dilation in zip(self.layers, dilations, strict=True):
            for i, block in enumerate(getattr(self, name)):
                depthwise = block.conv[-2].conv
                depthwise.dilation = depthwise.padding = (before, before) if i == 0 else (dilation, dilation)
            before = dilation
        self.settle()
