"""MobileNetV2 as a feature extractor."""

from __future__ import annotations

from collections.abc import Sequence

from mmdet.models.backbones import MobileNetV2 as MMDetMobileNetV2

from mmkd.registry import MODELS

from .pretrained import pretrained_last
from .upstream import UpstreamBackbone

__all__ = ['MobileNetV2']


@MODELS.register_module()
class MobileNetV2(UpstreamBackbone, MMDetMobileNetV2):
    """mmdet's MobileNetV2 without its last 320 -> 1280 convolution.

    mmdet builds and runs that layer even when its output is not wanted, which leaves 0.41 M parameters without a
    gradient. CenterMask-Lite has no such layer.

    Args:
        out_indices: Layers to return, 0 to 6. (2, 4, 6) gives strides 8, 16, 32 with 32, 96, 320 channels.
        **kwargs: As for mmdet's.

    Raises:
        ValueError: ``out_indices`` asks for the layer that is not there.
    """

    def __init__(self, *args, out_indices: Sequence[int] = (1, 2, 4, 6), **kwargs):
        if not set(out_indices) <= set(range(7)):
            raise ValueError(f'MobileNetV2: out_indices is {tuple(out_indices)!r}, expected values of 0 to 6')
        super().__init__(*args, out_indices=out_indices, **kwargs)
        del self.conv2
        self.layers.remove('conv2')
        self.out_channel = self.in_channels
        self.settle()

    def init_weights(self) -> None:
        """As mmdet's; a pretrained file, which may be the original's of CenterMask, has to fit (:mod:`.pretrained`)."""
        with pretrained_last(self):
            super().init_weights()
