"""A decode head that costs next to nothing: levels of a backbone, each brought to one width, added and classified."""

from __future__ import annotations

from collections.abc import Sequence

from mmcv.cnn import ConvModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.utils import resize
from torch import Tensor, nn

from mmkd.registry import MODELS

__all__ = ['LightPyramidHead']


@MODELS.register_module()
class LightPyramidHead(BaseDecodeHead):
    """The top-down path of a feature pyramid with one 3x3 convolution at its end.

    mmseg's ``FPN`` and ``FPNHead`` (Kirillov et al. 2019, Panoptic Feature Pyramid Networks) have two or more 3x3
    convolutions for each level; on a small backbone those are most of the work. A distillation may tap ``fuse``, the
    last features, or ``conv_seg``, the logits.

    Args:
        in_channels: Channels of the backbone's levels, the largest map first.
        channels: Width of the pyramid.
        in_index, **kwargs: As for mmseg's decode heads.
    """

    def __init__(self, in_channels: Sequence[int], channels: int, in_index: Sequence[int] = (0, 1, 2, 3), **kwargs):
        super().__init__(
            list(in_channels), channels, in_index=list(in_index), input_transform='multiple_select', **kwargs
        )
        self.laterals = nn.ModuleList(
            [ConvModule(width, channels, 1, norm_cfg=self.norm_cfg, act_cfg=None) for width in in_channels]
        )
        self.fuse = ConvModule(channels, channels, 3, padding=1, norm_cfg=self.norm_cfg, act_cfg=self.act_cfg)

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Logits (N, K, H, W) at the size of the first level."""
        levels = [lateral(x) for lateral, x in zip(self.laterals, self._transform_inputs(inputs), strict=True)]
        x = levels.pop()
        for level in reversed(levels):
            x = level + resize(x, level.shape[2:], mode='bilinear', align_corners=self.align_corners)
        return self.cls_seg(self.fuse(x))
