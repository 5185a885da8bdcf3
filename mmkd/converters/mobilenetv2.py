"""ImageNet files of MobileNetV2 under torchvision's names, for mmseg's, mmdet's and mmkd's."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import torch
from mmengine.config import Config
from torch import Tensor, nn

from .engine import Conversion, Family
from .timm import IMAGENET_MEAN, IMAGENET_STD

__all__ = ['MOBILENETV2_TORCHVISION', 'fold_input']

# torchvision's flat list of blocks: features 1 to 17, in layers of this many.
BLOCKS_OF_LAYERS = (1, 2, 3, 4, 3, 3, 1)
PLACES = [(layer + 1, block) for layer, number in enumerate(BLOCKS_OF_LAYERS) for block in range(number)]
LAST = len(PLACES) + 1
PARTS = ('expand_conv', 'depthwise_conv', 'linear_conv')


def _rename(name: str, names: Mapping[str, Tensor]) -> str | None:
    match = re.fullmatch(r'features\.(\d+)\.(.+)\.(\w+)', name)
    if not match or int(match[1]) > LAST:
        return None
    number, path, tensor = int(match[1]), match[2], match[3]
    if number in (0, LAST):
        whole = 'conv1' if number == 0 else 'conv2'
        return f'backbone.{whole}.{("conv", "bn")[int(path)]}.{tensor}' if path in '01' else None
    layer, block = PLACES[number - 1]
    last = 1 if number == 1 else 2  # the first block does not expand
    inner = re.fullmatch(r'conv\.(\d)(?:\.([01]))?', path)
    if not inner:
        return None
    index, kind = int(inner[1]), inner[2]
    if kind is None:  # the last convolution and its norm are not wrapped
        index, kind = last, index - last
    if kind not in ('0', '1', 0, 1) or index > last:
        return None
    return f'backbone.layer{layer}.{block}.conv.{index}.{("conv", "bn")[int(kind)]}.{tensor}'


def _adapt(conversion: Conversion, model: nn.Module) -> None:
    """mmdet names the convolutions of a block; mmseg counts them."""
    if not any('.depthwise_conv.' in key for key in model.state_dict()):
        return

    def named(key: str) -> str:
        first = 1 if key.startswith('backbone.layer1.') else 0
        return re.sub(r'\.conv\.(\d)\.', lambda match: f'.{PARTS[int(match[1]) + first]}.', key)

    conversion.tensors = {named(key): value for key, value in conversion.tensors.items()}
    conversion.sources = {named(key): value for key, value in conversion.sources.items()}


MOBILENETV2_TORCHVISION = Family('MobileNetV2 (torchvision)', _rename, _adapt)


def fold_input(
    mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD
) -> Callable[[Conversion, Config], None]:
    """Makes the first convolution take images as the config's data preprocessor hands them out.

    With weights trained on ``(u - mean) / std`` of the RGB image ``u`` and a config that gives ``x = (u - m) / s``, the
    first convolution is ``w * (x * s + m - mean) / std``: the factor goes into its weights, the constant into the
    running mean of the norm behind it. The order of the channels follows the config. Exact but for the outermost
    pixels, where zero padding now stands for ``m`` rather than for ``mean``.

    Args:
        mean: Per channel R, G, B on the scale of 0 to 255, as in the training of the weights.
        std: Likewise.

    Returns:
        A transform for ``convert_file``.
    """

    def transform(conversion: Conversion, cfg: Config) -> None:
        preprocessor = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor') or {}
        order = [0, 1, 2] if preprocessor.get('bgr_to_rgb') else [2, 1, 0]
        there = torch.tensor([mean, std], dtype=torch.float64)[:, order]
        here = torch.tensor(
            [list(preprocessor.get('mean') or [0.0] * 3), list(preprocessor.get('std') or [1.0] * 3)],
            dtype=torch.float64,
        )
        if order == [0, 1, 2] and torch.equal(there, here):
            return
        prefix = '' if conversion.backbone_only else 'backbone.'
        key, mean_key = f'{prefix}conv1.conv.weight', f'{prefix}conv1.bn.running_mean'
        weight = conversion.tensors[key].double()[:, order] / there[1][:, None, None]
        constant = (weight.sum((2, 3)) * (here[0] - there[0])).sum(1)
        conversion.tensors[key] = (weight * here[1][:, None, None]).float()
        conversion.tensors[mean_key] = (conversion.tensors[mean_key].double() - constant).float()
        conversion.notes.append(
            f'normalisation folded into {key} and {mean_key}: from RGB, mean {list(mean)}, std {list(std)} to '
            f'{"RGB" if order == [0, 1, 2] else "BGR"}, mean {here[0].tolist()}, std {here[1].tolist()}'
        )

    return transform
