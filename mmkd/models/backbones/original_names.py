"""Names of backbones in detectron2, maskrcnn-benchmark and torchvision, and in mmkd, mmdet and mmseg."""

from __future__ import annotations

import re

from .vovnet_layers import ordinary_name

__all__ = ['BACKBONE_RULES', 'MOBILENET_V2_BLOCKS', 'PREFIX', 'mobilenet_v2_layer']

# Files of a backbone alone have bare names, or whatever was in front of them where they were taken from.
PREFIX = r'(?:(?:img_)?backbone\.)?(?:bottom_up\.|body\.)?'

# The layer and the block in mmdet and mmseg of each of torchvision's features 1 to 17.
MOBILENET_V2_BLOCKS = [
    (layer, block) for layer, number in enumerate((1, 2, 3, 4, 3, 3, 1), start=1) for block in range(number)
]
_CONVOLUTIONS = ('expand_conv', 'depthwise_conv', 'linear_conv')


def mobilenet_v2_layer(number: int, part: int, kind: int, named: bool) -> str | None:
    """The name, without ``backbone.``, of a convolution or a norm of MobileNetV2; None where there is none.

    Args:
        number: Of torchvision's features: 0 is the first convolution, 18 the last, between them are the blocks.
        part: Which convolution of the block. The first block has two, as it does not expand; the others have three.
        kind: 0 for the convolution, 1 for its norm; anything else, such as the activation, has no name.
        named: Whether the convolutions of a block have names, as in mmdet, or numbers, as in mmseg.
    """
    if kind not in (0, 1):
        return None
    module = ('conv', 'bn')[kind]
    if number in (0, len(MOBILENET_V2_BLOCKS) + 1):
        return f'{"conv1" if number == 0 else "conv2"}.{module}'
    first = 1 if number == 1 else 0
    if not 0 < number <= len(MOBILENET_V2_BLOCKS) or part + first >= len(_CONVOLUTIONS):
        return None
    layer, block = MOBILENET_V2_BLOCKS[number - 1]
    return f'layer{layer}.{block}.{_CONVOLUTIONS[part + first] if named else f"conv.{part}"}.{module}'


def _mobilenet_v2_block(match: re.Match) -> str | None:
    """In the files of CenterMask convolution, norm and activation take turns in one list."""
    layer = mobilenet_v2_layer(int(match['block']), *divmod(int(match['index']), 3), named=True)
    return layer and f'backbone.{layer}.{match["rest"]}'


def _vovnet(match: re.Match) -> str:
    name = match['name']
    # The convolution that finds the offsets is beside the deformable one in detectron2 and above both in V1;
    # in mmcv it is inside of it.
    name = re.sub(r'/conv_offset\.(weight|bias)$', r'/conv.conv_offset.\1', name)
    name = re.sub(r'/conv\.offset\.(weight|bias)$', r'/conv.conv_offset.\1', name)
    name = re.sub(r'/conv\.conv\.(weight|bias)$', r'/conv.\1', name)
    return f'backbone.{ordinary_name(name)}'


# VoVNet and MobileNetV2 in the files of CenterMask, both of them
BACKBONE_RULES = (
    (PREFIX + r'(?P<name>(?:stem\.stem_[123][/.]|stage[2-5]\.OSA).+)', _vovnet),
    (PREFIX + r'features\.0\.0\.(.+)', r'backbone.conv1.conv.\1'),
    (PREFIX + r'features\.0\.1\.(.+)', r'backbone.conv1.bn.\1'),
    (PREFIX + r'features\.(?P<block>\d+)\.conv\.(?P<index>\d+)\.(?P<rest>\w+)', _mobilenet_v2_block),
)
