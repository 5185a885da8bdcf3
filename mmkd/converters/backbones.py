"""Names of backbones in detectron2 and maskrcnn-benchmark, and in mmkd and mmdet."""

from __future__ import annotations

import re

from mmkd.models.backbones.vovnet_layers import ordinary_name

__all__ = ['BACKBONE_RULES', 'RESNET_BENCHMARK_RULES', 'RESNET_DETECTRON2_RULES']

# Files of a backbone alone have bare names, or whatever was in front of them where they were taken from.
PREFIX = r'(?:(?:img_)?backbone\.)?(?:bottom_up\.|body\.)?'

# torchvision's flat list of MobileNetV2's blocks, and the layer and block they are in mmdet.
_BLOCKS_OF_LAYERS = (1, 2, 3, 4, 3, 3, 1)
_MOBILENET_BLOCKS = [(layer + 1, block) for layer, number in enumerate(_BLOCKS_OF_LAYERS) for block in range(number)]
_WITH_EXPANSION = {0: 'expand_conv.conv', 1: 'expand_conv.bn', 3: 'depthwise_conv.conv', 4: 'depthwise_conv.bn'}
_WITH_EXPANSION |= {6: 'linear_conv.conv', 7: 'linear_conv.bn'}
_WITHOUT_EXPANSION = {0: 'depthwise_conv.conv', 1: 'depthwise_conv.bn', 3: 'linear_conv.conv', 4: 'linear_conv.bn'}


def _mobilenet_block(match: re.Match) -> str | None:
    number, index = int(match['block']), int(match['index'])
    modules = _WITHOUT_EXPANSION if number == 1 else _WITH_EXPANSION
    if not 1 <= number <= len(_MOBILENET_BLOCKS) or index not in modules:
        return None
    layer, block = _MOBILENET_BLOCKS[number - 1]
    return f'backbone.layer{layer}.{block}.{modules[index]}.{match["rest"]}'


def _vovnet(match: re.Match) -> str:
    name = match['name']
    # The convolution that finds the offsets is beside the deformable one in detectron2 and above both in V1;
    # in mmcv it is inside of it.
    name = re.sub(r'/conv_offset\.(weight|bias)$', r'/conv.conv_offset.\1', name)
    name = re.sub(r'/conv\.offset\.(weight|bias)$', r'/conv.conv_offset.\1', name)
    name = re.sub(r'/conv\.conv\.(weight|bias)$', r'/conv.\1', name)
    return f'backbone.{ordinary_name(name)}'


BACKBONE_RULES = (
    (PREFIX + r'(?P<name>(?:stem\.stem_[123][/.]|stage[2-5]\.OSA).+)', _vovnet),
    (PREFIX + r'features\.0\.0\.(.+)', r'backbone.conv1.conv.\1'),
    (PREFIX + r'features\.0\.1\.(.+)', r'backbone.conv1.bn.\1'),
    (PREFIX + r'features\.(?P<block>\d+)\.conv\.(?P<index>\d+)\.(?P<rest>\w+)', _mobilenet_block),
)

RESNET_DETECTRON2_RULES = (
    (PREFIX + r'stem\.conv1\.weight', 'backbone.conv1.weight'),
    (PREFIX + r'stem\.conv1\.norm\.(\w+)', r'backbone.bn1.\1'),
    (
        PREFIX + r'res([2-5])\.(\d+)\.conv([123])\.weight',
        lambda m: f'backbone.layer{int(m[1]) - 1}.{m[2]}.conv{m[3]}.weight',
    ),
    (
        PREFIX + r'res([2-5])\.(\d+)\.conv([123])\.norm\.(\w+)',
        lambda m: f'backbone.layer{int(m[1]) - 1}.{m[2]}.bn{m[3]}.{m[4]}',
    ),
    (
        PREFIX + r'res([2-5])\.(\d+)\.shortcut\.weight',
        lambda m: f'backbone.layer{int(m[1]) - 1}.{m[2]}.downsample.0.weight',
    ),
    (
        PREFIX + r'res([2-5])\.(\d+)\.shortcut\.norm\.(\w+)',
        lambda m: f'backbone.layer{int(m[1]) - 1}.{m[2]}.downsample.1.{m[3]}',
    ),
)

RESNET_BENCHMARK_RULES = (
    (PREFIX + r'stem\.(conv1|bn1)\.(\w+)', r'backbone.\1.\2'),
    (PREFIX + r'(layer[1-4]\.\d+\.(?:conv\d|bn\d|downsample\.[01])\.\w+)', r'backbone.\1'),
)
