"""MobileNetV2 that pads each block before its expansion, as the backbone of pytorch-deeplab-xception."""

from __future__ import annotations

from collections.abc import Sequence

from mmseg.models.backbones import MobileNetV2 as MMSegMobileNetV2

from mmkd.registry import MODELS

from .upstream import UpstreamBackbone


@MODELS.register_module()
class BlockPaddedMobileNetV2(UpstreamBackbone, MMSegMobileNetV2):
    """mmseg's MobileNetV2 in which a block pads its input, and not the input of its depth-wise convolution.

    Beyond the border of the map, the depth-wise convolution then sees what the expansion makes of zeros (its norm's
    shift, clipped), not zeros. The blocks of pytorch-deeplab-xception are like this, and checkpoints of DeepLabV3+
    trained there expect it; with mmseg's blocks they give other values along the borders. ImageNet weights of
    torchvision were trained with blocks like mmseg's.

    The norm of an expansion sees, and a tap on it gives, a map that is larger by the dilation on every side.

    Args:
        strides: Stride of each of the seven layers. Default: output stride 16.
        dilations: Dilation of the first block of each layer.
        **kwargs: As for mmseg's.
    """

    def __init__(
        self,
        strides: Sequence[int] = (1, 2, 2, 2, 1, 1, 1),
        dilations: Sequence[int] = (1, 1, 1, 1, 1, 1, 2),
        **kwargs,
    ):
        super().__init__(strides=strides, dilations=dilations, **kwargs)
        for name in self.layers:
            for block in getattr(self, name):
                first, depthwise = block.conv[0].conv, block.conv[-2].conv
                # a 1x1 convolution without bias makes zeros of padding, as it would of zeros in front of it
                padding, depthwise.padding = depthwise.padding, (0, 0)
                first.padding = padding
        self.settle()
