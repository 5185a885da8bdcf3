"""Files of the PSPNets of structured knowledge distillation, teachers and students."""

from __future__ import annotations

import re

import torch
from torch import nn

from .format import FORMATS, Conversion, Format

__all__ = ['SKDPSPNetFormat']

ABN_EPS = 1e-5
PREFIX = r'(?:student\.|module\.)*'
# Teachers hold pyramid and classifier in one sequence, students apart.
PSP = PREFIX + r'(?:pspmodule|head\.0)\.'
STEM = {'conv1': 0, 'bn1': 1, 'conv2': 3, 'bn2': 4, 'conv3': 6, 'bn3': 7}

RULES = (
    (PREFIX + r'(conv[123]|bn[123])\.(\w+)', lambda m: f'backbone.stem.{STEM[m[1]]}.{m[2]}'),
    (PREFIX + r'(layer[1-4]\.\d+\.(?:conv\d|bn\d|downsample\.[01])\.\w+)', r'backbone.\1'),
    (PSP + r'stages\.(\d+)\.1\.weight', r'decode_head.psp_modules.\1.1.conv.weight'),
    (PSP + r'stages\.(\d+)\.2\.(\w+)', r'decode_head.psp_modules.\1.1.bn.\2'),
    (PSP + r'bottleneck\.0\.weight', 'decode_head.bottleneck.conv.weight'),
    (PSP + r'bottleneck\.1\.(\w+)', r'decode_head.bottleneck.bn.\1'),
    (PREFIX + r'head\.(?:1\.)?(weight|bias)', r'decode_head.conv_seg.\1'),
    (PREFIX + r'dsn\.0\.(weight|bias)', r'auxiliary_head.convs.0.conv.\1'),
    (PREFIX + r'dsn\.1\.(\w+)', r'auxiliary_head.convs.0.bn.\1'),
    (PREFIX + r'dsn\.3\.(weight|bias)', r'auxiliary_head.conv_seg.\1'),
)
BOTTLENECK = 'decode_head.bottleneck.conv.weight'
AUXILIARY = 'auxiliary_head.convs.0.'


def _make_scales_positive(conversion: Conversion) -> None:
    """In-place activated batch norm scales by |weight| + eps, so that it can be inverted."""
    changed = negative = 0
    for key in list(conversion.tensors):
        weight_key = f'{key.removesuffix("running_var")}weight'
        if key.endswith('.running_var') and weight_key in conversion.tensors:
            weight = conversion.tensors[weight_key].double()
            conversion.tensors[weight_key] = weight.abs() + ABN_EPS
            changed += 1
            negative += bool((weight < 0).any())
    conversion.notes.append(
        f'weight of {changed} in-place activated norms replaced by |weight| + {ABN_EPS}; {negative} had negative ones'
    )


def _put_input_first(conversion: Conversion) -> None:
    """The originals concatenate the pooled maps and then the input of the pyramid, mmseg the input first."""
    weight = conversion.tensors.get(BOTTLENECK)
    if weight is None:
        return
    branches = [
        key for key in conversion.tensors if re.fullmatch(r'decode_head\.psp_modules\.\d+\.1\.conv\.weight', key)
    ]
    pooled = sum(len(conversion.tensors[key]) for key in branches)
    conversion.tensors[BOTTLENECK] = torch.cat([weight[:, pooled:], weight[:, :pooled]], dim=1)


def _fold_auxiliary_bias(conversion: Conversion) -> None:
    """A bias in front of a batch norm only moves the mean that is taken off again; mmseg has none there."""
    bias = conversion.tensors.pop(f'{AUXILIARY}conv.bias', None)
    mean = conversion.tensors.get(f'{AUXILIARY}bn.running_mean')
    if bias is not None and mean is not None:
        conversion.tensors[f'{AUXILIARY}bn.running_mean'] = mean.double() - bias.double()


def _note_differences(conversion: Conversion, model: nn.Module) -> None:
    """Says what of the config would compute something else from the same weights."""
    if not any(key.startswith('decode_head.') for key in conversion.tensors):
        return  # an ImageNet file, which is trained further in any case
    backbone, head, auxiliary = (getattr(model, name, None) for name in ('backbone', 'decode_head', 'auxiliary_head'))
    expected = []
    if not getattr(getattr(backbone, 'maxpool', None), 'ceil_mode', False):
        expected.append('backbone.ceil_mode=True')
    for name, dilation in (('layer3', (2, 2)), ('layer4', (4, 4))):
        blocks = getattr(backbone, name, [])
        wide = [m for block in blocks for m in block.children() if getattr(m, 'kernel_size', None) == (3, 3)]
        if any(conv.dilation != dilation for conv in wide):
            expected.append(f'{name} with dilation {dilation[0]} in every 3x3 convolution (mmkd.DilatedResNet)')
    for name, part in (('decode_head', head), ('auxiliary_head', auxiliary)):
        if part is None or not any(key.startswith(f'{name}.') for key in conversion.tensors):
            continue
        activation = part.act_cfg or {}
        if activation.get('type') != 'LeakyReLU' or activation.get('negative_slope', 0.01) != 0.01:
            expected.append(f"{name}.act_cfg=dict(type='LeakyReLU', negative_slope=0.01)")
        if not part.align_corners:
            expected.append(f'{name}.align_corners=True')
    if expected:
        conversion.notes.append(
            f'WARNING: the network was trained with {"; ".join(expected)}. This config computes something else'
        )


@FORMATS.register_module('skd-pspnet')
class SKDPSPNetFormat(Format):
    """PSPNets, and the ImageNet files of their ResNets.

    Args:
        plain_norm: Leave the weights of norms as they are: for ImageNet files, which were trained with ordinary batch
            norm.
    """

    title = 'PSPNet (structured knowledge distillation)'
    rules = RULES

    def __init__(self, plain_norm: bool = False):
        self.plain_norm = plain_norm
        if plain_norm:
            self.title += ', plain norms'

    def adapt(self, conversion: Conversion, model: nn.Module) -> None:
        if not self.plain_norm:
            _make_scales_positive(conversion)
        _put_input_first(conversion)
        _fold_auxiliary_bias(conversion)
        _note_differences(conversion, model)
