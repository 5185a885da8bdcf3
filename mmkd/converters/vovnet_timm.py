"""Files of timm's VoVNets (``ese_vovnet19b_dw``, ``ese_vovnet39b``, ...)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .format import FORMATS, Conversion, Format
from .images import IMAGENET_MEAN, IMAGENET_STD, Images, fold_images

__all__ = ['VoVNetTimmFormat']

LAYER = r'(?P<layer>conv_mid\.(?P<number>\d+)|conv_reduction|conv_concat)'
TENSOR = r'(?P<tensor>(?:conv|conv_dw|conv_pw)\.weight|bn\.\w+)'
STEM = r'(?P<path>stem\.(?P<number>\d+))\.' + TENSOR
BLOCK = r'stages\.(?P<stage>\d+)\.blocks\.(?P<block>\d+)\.'


def _rename(name: str, names: Mapping[str, Tensor]) -> str | None:
    match = re.fullmatch(STEM, name)
    if match:
        depthwise = f'{match["path"]}.conv_dw.weight' in names
        return f'backbone.stem.stem_{int(match["number"]) + 1}.{_tensor(match["tensor"], depthwise)}'
    match = re.fullmatch(BLOCK + r'attn\.fc\.(?P<tensor>weight|bias)', name)
    if match:
        return f'backbone.{_block(match)}.ese.fc.{match["tensor"]}'
    match = re.fullmatch(rf'(?P<path>{BLOCK}{LAYER})\.{TENSOR}', name)
    if not match:
        return None
    depthwise = f'{match["path"]}.conv_dw.weight' in names
    layers = {'conv_reduction': 'conv_reduction', 'conv_concat': 'concat'}
    layer = layers.get(match['layer'], f'layers.{match["number"]}')
    return f'backbone.{_block(match)}.{layer}.{_tensor(match["tensor"], depthwise)}'


def _block(match: re.Match) -> str:
    stage = int(match['stage']) + 2
    return f'stage{stage}.OSA{stage}_{int(match["block"]) + 1}'


def _tensor(name: str, depthwise: bool) -> str:
    name = name.replace('bn.', 'pw_norm.' if depthwise else 'norm.')
    return name.replace('conv_dw.', 'dw_conv3x3.').replace('conv_pw.', 'pw_conv1x1.')


def _open_gates(conversion: Conversion, model: nn.Module) -> None:
    """Opens the gates that timm does not have: with weight 0 and bias 3 a gate is exactly 1."""
    keys = [key.split('.') for key in model.state_dict() if re.match(r'backbone\.stage\d', key)]
    last_blocks = {stage: block for _, stage, block, *_ in keys}  # a later block takes the place of an earlier one
    filled = 0
    for key, value in model.state_dict().items():
        if '.ese.fc.' not in key or key in conversion.tensors:
            continue
        _, stage, block, *_ = key.split('.')
        if block != last_blocks[stage]:
            conversion.tensors[key] = torch.full(value.shape, 3.0 if key.endswith('.bias') else 0.0)
            filled += key.endswith('.bias')
    if filled:
        conversion.notes.append(
            f"{filled} gates that timm does not have were set to 1 (weight 0, bias 3); ese_on='last' builds none"
        )


@FORMATS.register_module('vovnet-timm')
class VoVNetTimmFormat(Format):
    """ImageNet files of timm's VoVNets, which were trained on RGB images, less ImageNet's mean, by its deviation.

    Args:
        fold_normalization: Change the first convolution so that it takes images as the config's data preprocessor
            hands them out. The mean has to be the same, since no weight can stand for it where the image is padded.
    """

    title = 'timm VoVNet'

    def __init__(self, fold_normalization: bool = False):
        self.fold_normalization = fold_normalization

    def rename(self, name: str, names: Mapping[str, Tensor]) -> str | None:
        return _rename(name, names)

    def adapt(self, conversion: Conversion, model: nn.Module) -> None:
        _open_gates(conversion, model)

    def adapt_to_images(self, conversion: Conversion, preprocessor: Mapping[str, Any]) -> None:
        images = Images.of(preprocessor)
        if self.fold_normalization:
            fold_images(conversion, images, IMAGENET_MEAN, IMAGENET_STD, 'stem.stem_1.conv')
        elif images != Images(list(IMAGENET_MEAN), list(IMAGENET_STD), True):
            conversion.notes.append(
                'WARNING: timm trained on RGB images with mean [123.675, 116.28, 103.53] and std [58.395, 57.12, '
                '57.375], and data_preprocessor of this config differs: change it, or use --fold-normalization'
            )
