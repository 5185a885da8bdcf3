"""Decode heads of ESPNet-C and ESPNet (Mehta et al., ECCV 2018)."""

from __future__ import annotations

import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from mmkd.registry import MODELS

from ..backbones.espnet import DILATIONS, Conv, ConvNormAct, ESPBlock, NormAct, norm_layer


@MODELS.register_module()
class ESPNetCHead(BaseDecodeHead):
    """A 1x1 classifier without bias on the last encoder map: ESPNet-C, logits at 1/8 of the size."""

    def __init__(self, num_classes: int, in_channels: int = 256, dropout_ratio: float = 0.0, **kwargs):
        super().__init__(in_channels, in_channels, num_classes=num_classes, dropout_ratio=dropout_ratio, **kwargs)
        self.conv_seg = nn.Conv2d(in_channels, self.out_channels, kernel_size=1, bias=False)

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        return self.cls_seg(self._transform_inputs(inputs))


@MODELS.register_module()
class ESPNetHead(BaseDecodeHead):
    """The light decoder of ESPNet: class scores are refined at 1/4 and 1/2 and end at the full size.

    The scores at 1/8 of the size are the output of ``classifier_1``: that is where distillation taps them. An image of
    an odd side gets logits of one row or column more, which mmseg resizes to the size of the image.

    Args:
        num_classes: Number of classes K; all inner maps of the decoder have K channels.
        in_channels: Channels of the three encoder maps at 1/2, 1/4 and 1/8.
        norm_cfg: Norm layer; as for the encoder, :class:`ESPNet`.

    Raises:
        ValueError: There are fewer than 5 classes: a pyramid in the decoder shares its K channels among 5 branches.
    """

    def __init__(
        self, num_classes: int, in_channels: tuple[int, int, int] = (19, 131, 256), dropout_ratio: float = 0.0, **kwargs
    ):
        kwargs = {'in_index': (0, 1, 2), 'input_transform': 'multiple_select', **kwargs}
        super().__init__(list(in_channels), num_classes, num_classes=num_classes, dropout_ratio=dropout_ratio, **kwargs)
        half, quarter, eighth = in_channels
        classes = self.out_channels
        if classes < len(DILATIONS):
            raise ValueError(
                f'ESPNetHead: num_classes gives {classes} channels, expected {len(DILATIONS)} or more; '
                'ESPNetCHead works with any number'
            )
        self.classifier_1 = Conv(eighth, classes, 1)
        self.br = norm_layer(self.norm_cfg, classes)
        self.up_l3 = nn.Sequential(_double(classes))
        self.level3_C = Conv(quarter, classes, 1)
        self.combine_l2_l3 = nn.Sequential(
            NormAct(2 * classes, self.norm_cfg), ESPBlock(2 * classes, classes, add=False, norm_cfg=self.norm_cfg)
        )
        self.up_l2 = nn.Sequential(_double(classes), NormAct(classes, self.norm_cfg))
        self.conv = ConvNormAct(half + classes, classes, 3, norm_cfg=self.norm_cfg)
        self.conv_seg = _double(classes)

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        half, quarter, eighth = self._transform_inputs(inputs)
        scores = self.up_l3(self.br(self.classifier_1(eighth)))
        scores = self.combine_l2_l3(torch.cat([self.level3_C(quarter), _cropped(scores, quarter)], dim=1))
        scores = self.conv(torch.cat([_cropped(self.up_l2(scores), half), half], dim=1))
        return self.cls_seg(scores)


def _cropped(x: Tensor, like: Tensor) -> Tensor:
    """Without the last row and column where the encoder had an odd side, of which half of it is rounded up."""
    return x[..., : like.shape[-2], : like.shape[-1]]


def _double(channels: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(channels, channels, 2, stride=2, bias=False)
