"""Files of timm's VoVNets (``ese_vovnet19b_dw``, ``ese_vovnet39b``, ...)."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from mmengine.config import Config
from torch import Tensor, nn

from .engine import Conversion, Family

__all__ = ['IMAGENET_MEAN', 'IMAGENET_STD', 'VOVNET_TIMM', 'fold_normalization', 'note_normalization']

# timm's default normalisation on the scale of 0 to 255, channels R, G, B.
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)

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


def _adapt(conversion: Conversion, model: nn.Module) -> None:
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


VOVNET_TIMM = Family('timm VoVNet', _rename, _adapt)


def fold_normalization(conversion: Conversion, cfg: Config) -> None:
    """Makes the first convolution take images as the config's data preprocessor hands them out.

    timm's networks take RGB images, less the mean and divided by the deviation of ImageNet. The division and the order
    of the channels move into the weights; the mean has to be the same, since no weight can stand for it where the
    image is padded.

    Raises:
        ValueError: The config subtracts another mean.
    """
    mean, std, is_rgb = _preprocessing(cfg)
    order = [0, 1, 2] if is_rgb else [2, 1, 0]
    wanted = [IMAGENET_MEAN[i] for i in order]
    if max(abs(a - b) for a, b in zip(mean, wanted, strict=True)) > 0.01:
        raise ValueError(f'data_preprocessor.mean is {mean}, expected {wanted}: another mean cannot be folded')
    key = next(key for key in conversion.tensors if key.endswith('stem.stem_1.conv.weight'))
    factors = torch.tensor([s / IMAGENET_STD[i] for s, i in zip(std, order, strict=True)], dtype=torch.float64)
    weight = conversion.tensors[key].double()[:, order] * factors[:, None, None]
    conversion.tensors[key] = weight.float()
    conversion.notes.append(f'normalisation folded into {key}: mean {mean}, std {std}, {"RGB" if is_rgb else "BGR"}')


def note_normalization(conversion: Conversion, cfg: Config) -> None:
    """Says so when the config feeds images that the weights were not trained on."""
    mean, std, is_rgb = _preprocessing(cfg)
    if not is_rgb or list(mean) != list(IMAGENET_MEAN) or list(std) != list(IMAGENET_STD):
        conversion.notes.append(
            'WARNING: timm trained on RGB images with mean [123.675, 116.28, 103.53] and std [58.395, 57.12, 57.375], '
            'and data_preprocessor of this config differs: change it, or use --fold-normalization'
        )


def _preprocessing(cfg: Config) -> tuple[list[float], list[float], bool]:
    """Mean, deviation, and whether the network sees RGB; mmcv reads images as BGR."""
    preprocessor = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor') or {}
    mean = list(preprocessor.get('mean') or (0.0, 0.0, 0.0))
    std = list(preprocessor.get('std') or (1.0, 1.0, 1.0))
    return mean, std, bool(preprocessor.get('bgr_to_rgb', False))
