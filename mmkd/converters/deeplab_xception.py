"""Files of DeepLabV3+ of pytorch-deeplab-xception and of DeepLabV3+-KD, teachers and students."""

from __future__ import annotations

import re

from torch import nn

from mmkd.models.backbones.original_names import mobilenet_v2_layer

from .format import FORMATS, Conversion, Format

__all__ = ['DeepLabXceptionFormat']

PREFIX = r'(?:s_net\.|module\.)*'
BACKBONE = PREFIX + r'backbone\.'
DECODER = PREFIX + r'decoder\.'
HEAD = 'decode_head.'


def _mobilenet_block(match: re.Match) -> str | None:
    """Three modules of a part of a block, convolution, norm and ReLU, are one in mmseg."""
    layer = mobilenet_v2_layer(int(match[1]), *divmod(int(match[2]), 3), named=False)
    return layer and f'backbone.{layer}.{match[3]}'


RULES = (
    (BACKBONE + r'((?:conv1|bn1)\.\w+)', r'backbone.\1'),
    (BACKBONE + r'(layer[1-4]\.\d+\.(?:conv\d|bn\d|downsample\.[01])\.\w+)', r'backbone.\1'),
    # The same tensors may be there again under other names, which slice the list; those are not used.
    (BACKBONE + r'features\.0\.0\.(\w+)', r'backbone.conv1.conv.\1'),
    (BACKBONE + r'features\.0\.1\.(\w+)', r'backbone.conv1.bn.\1'),
    (BACKBONE + r'features\.(\d+)\.conv\.(\d)\.(\w+)', _mobilenet_block),
    (
        PREFIX + r'aspp\.aspp([1-4])\.atrous_conv\.weight',
        lambda m: f'{HEAD}aspp_modules.{int(m[1]) - 1}.conv.weight',
    ),
    (PREFIX + r'aspp\.aspp([1-4])\.bn\.(\w+)', lambda m: f'{HEAD}aspp_modules.{int(m[1]) - 1}.bn.{m[2]}'),
    (PREFIX + r'aspp\.global_avg_pool\.1\.weight', f'{HEAD}image_pool.1.conv.weight'),
    (PREFIX + r'aspp\.global_avg_pool\.2\.(\w+)', HEAD + r'image_pool.1.bn.\1'),
    (PREFIX + r'aspp\.conv1\.weight', f'{HEAD}bottleneck.conv.weight'),
    (PREFIX + r'aspp\.bn1\.(\w+)', HEAD + r'bottleneck.bn.\1'),
    (DECODER + r'conv1\.weight', f'{HEAD}c1_bottleneck.conv.weight'),
    (DECODER + r'bn1\.(\w+)', HEAD + r'c1_bottleneck.bn.\1'),
    (DECODER + r'last_conv\.0\.weight', f'{HEAD}conv1.conv.weight'),
    (DECODER + r'last_conv\.1\.(\w+)', HEAD + r'conv1.bn.\1'),
    (DECODER + r'last_conv\.4\.weight', f'{HEAD}conv2.conv.weight'),
    (DECODER + r'last_conv\.5\.(\w+)', HEAD + r'conv2.bn.\1'),
    (DECODER + r'last_conv\.8\.(weight|bias)', HEAD + r'conv_seg.\1'),
)


def _note_differences(conversion: Conversion, model: nn.Module) -> None:
    """Says what of the config would compute something else from the same weights."""
    expected = _expected_of_backbone(getattr(model, 'backbone', None))
    if not getattr(getattr(model, 'decode_head', None), 'align_corners', True):
        expected.append('decode_head.align_corners=True')
    if expected:
        conversion.notes.append(
            f'WARNING: the network was trained with {"; ".join(expected)}. This config computes something else'
        )


def _expected_of_backbone(backbone: nn.Module | None) -> list[str]:
    expected = []
    if hasattr(backbone, 'layer7'):
        if backbone.layer2[0].conv[0].conv.padding == (0, 0):
            expected.append("backbone.type='mmkd.BlockPaddedMobileNetV2'")
        if _dilations(backbone.layer7) != [2]:
            expected.append('backbone.dilations=(1, 1, 1, 1, 1, 1, 2)')
    elif hasattr(backbone, 'layer4'):
        # of a basic block both convolutions, of a bottleneck the one in the middle; only the deep network has a grid
        wanted = [2, 4, 8] if len(backbone.layer3) > 20 else [2] * len(_dilations(backbone.layer4))
        if _dilations(backbone.layer4) != wanted:
            expected.append(f'layer4 with the dilations {wanted}, here {_dilations(backbone.layer4)}')
    return expected


def _dilations(layer: nn.Module) -> list[int]:
    """Of the 3x3 convolutions."""
    convolutions = [module for module in layer.modules() if isinstance(module, nn.Conv2d)]
    return [module.dilation[0] for module in convolutions if module.kernel_size == (3, 3)]


@FORMATS.register_module('deeplab-xception')
class DeepLabXceptionFormat(Format):
    """DeepLabV3+ with ResNet or MobileNetV2, teachers and students."""

    title = 'DeepLabV3+ (pytorch-deeplab-xception, DeepLabV3+-KD)'
    rules = RULES

    def adapt(self, conversion: Conversion, model: nn.Module) -> None:
        _note_differences(conversion, model)
