"""The decoder of DeepLabV3+ with ordinary convolutions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmcv.cnn import ConvModule
from mmseg.models.decode_heads import ASPPHead
from mmseg.models.utils import resize
from torch import Tensor, nn

from mmkd.registry import MODELS


@MODELS.register_module()
class DeepLabV3PlusHead(ASPPHead):
    """DeepLabV3+ (Chen et al., ECCV 2018) with ordinary convolutions, as in the networks of DeepLabV3+-KD.

    mmseg ships the variant with depth-wise separable convolutions only. Here, as in pytorch-deeplab-xception: branches
    of 1x1 and dilated 3x3 convolutions and the image pooling, the pooling last in the concatenation; a 1x1 bottleneck
    and dropout; a low-level map reduced by a 1x1 convolution, after the ASPP in the second concatenation; two 3x3
    convolutions, dropout after each.

    Where distillation taps it: ``bottleneck.bn`` is the encoder's last map before its ReLU, ``conv2.bn`` the decoder's.

    Args:
        in_channels: Channels of the deepest map.
        channels: Channels within.
        c1_in_channels: Channels of the first map, at 1/4 of the size.
        c1_channels: What they are reduced to.
        dilations: Of the branches; 1 stands for a 1x1 convolution.
        aspp_dropout_ratio: After the bottleneck. The student of DeepLabV3+-KD had none while it was distilled (but had
            it in the run without a teacher): 0 repeats that.
        decoder_dropout_ratio: Between the two 3x3 convolutions.
        dropout_ratio: Before the classifier. All three drop single values, not channels.
        align_corners: Of all resizing, that of the logits included.
        norm_cfg: Of all convolutions but the classifier; by default batch norm.
        **kwargs: As for mmseg's ``ASPPHead``.

    Returns of ``forward``, for maps of which the first is (N, c1_in_channels, H, W): logits (N, K, H, W).
    """

    def __init__(
        self,
        in_channels: int,
        channels: int = 256,
        c1_in_channels: int = 256,
        c1_channels: int = 48,
        dilations: Sequence[int] = (1, 6, 12, 18),
        aspp_dropout_ratio: float = 0.5,
        decoder_dropout_ratio: float = 0.5,
        dropout_ratio: float = 0.1,
        align_corners: bool = True,
        norm_cfg: dict | None = None,
        **kwargs,
    ):
        super().__init__(
            dilations=tuple(dilations),
            in_channels=in_channels,
            channels=channels,
            dropout_ratio=dropout_ratio,
            align_corners=align_corners,
            norm_cfg=norm_cfg or dict(type='BN'),
            **kwargs,
        )

        def conv(inputs: int, outputs: int, size: int) -> ConvModule:
            layers = dict(conv_cfg=self.conv_cfg, norm_cfg=self.norm_cfg, act_cfg=self.act_cfg)
            return ConvModule(inputs, outputs, size, padding=size // 2, **layers)

        self.bottleneck = conv((len(dilations) + 1) * channels, channels, 1)
        self.aspp_dropout = nn.Dropout(aspp_dropout_ratio)
        self.c1_bottleneck = conv(c1_in_channels, c1_channels, 1)
        self.conv1 = conv(channels + c1_channels, channels, 3)
        self.decoder_dropout = nn.Dropout(decoder_dropout_ratio)
        self.conv2 = conv(channels, channels, 3)
        if self.dropout is not None:
            self.dropout = nn.Dropout(dropout_ratio)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        x = self._transform_inputs(inputs)
        pooled = self._resize(self.image_pool(x), x)
        x = self.aspp_dropout(self.bottleneck(torch.cat([*self.aspp_modules(x), pooled], dim=1)))
        c1 = self.c1_bottleneck(inputs[0])
        x = self.decoder_dropout(self.conv1(torch.cat([self._resize(x, c1), c1], dim=1)))
        return self.cls_seg(self.conv2(x))

    def _resize(self, x: Tensor, like: Tensor) -> Tensor:
        return resize(x, size=like.shape[2:], mode='bilinear', align_corners=self.align_corners)
