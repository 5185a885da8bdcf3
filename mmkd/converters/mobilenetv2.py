"""ImageNet files of MobileNetV2 under torchvision's names, for mmseg's, mmdet's and mmkd's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from mmkd.models.backbones.original_names import mobilenet_v2_layer

from .format import FORMATS, Conversion, Format
from .images import IMAGENET_MEAN, IMAGENET_STD, Images, fold_images

__all__ = ['MobileNetV2Format']


@FORMATS.register_module('mobilenetv2')
class MobileNetV2Format(Format):
    """MobileNetV2 of torchvision. The first layer is changed where the config sees other images than the training did.

    Args:
        mean: Per channel R, G, B on the scale of 0 to 255, as in the training of the weights. Default: ImageNet's;
            TensorFlow and what was ported from it use 127.5.
        std: Likewise.
    """

    title = 'MobileNetV2 (torchvision)'

    def __init__(self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD):
        self.mean = tuple(mean)
        self.std = tuple(std)

    def rename_all(self, names: Mapping[str, Tensor], model: nn.Module) -> dict[str, str | None]:
        named = any('.depthwise_conv.' in key for key in model.state_dict())  # mmdet's, and not mmseg's
        return {name: _rename(name, named) for name in names}

    def adapt_to_images(self, conversion: Conversion, preprocessor: Mapping[str, Any]) -> None:
        fold_images(conversion, Images.of(preprocessor), self.mean, self.std, 'conv1.conv', 'conv1.bn')


def _rename(name: str, named: bool) -> str | None:
    match = re.fullmatch(r'features\.(\d+)\.(?:conv\.)?(\d)(?:\.(\d))?\.(\w+)', name)
    if not match:
        return None
    number, part, kind = int(match[1]), int(match[2]), match[3]
    if '.conv.' not in name:  # a layer of its own, before and behind the blocks
        part, kind = 0, part
    elif kind is None:  # the last convolution of a block and its norm are not wrapped
        last = 1 if number == 1 else 2
        part, kind = last, part - last
    layer = mobilenet_v2_layer(number, part, int(kind), named)
    return layer and f'backbone.{layer}.{match[4]}'
