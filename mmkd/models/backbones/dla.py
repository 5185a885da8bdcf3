"""Deep layer aggregation, the smaller backbone of CenterNet and of CenterMask with point representation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from mmkd.registry import MODELS

from ..utils import recompute
from .dla_layers import BasicBlock, Bottleneck, Tree, conv_level
from .staged_backbone import StagedBackbone

__all__ = ['DLA', 'DLAArch']


class DLAArch(NamedTuple):
    """What distinguishes the variants; the tuples hold one value for each of level 0 to level 5."""

    depths: tuple[int, int, int, int, int, int]
    channels: tuple[int, int, int, int, int, int]
    block: type[nn.Module] = Bottleneck
    cardinality: int = 1
    root_residual: bool = False


_COMPACT = (16, 32, 64, 64, 128, 256)
_FULL = (16, 32, 128, 256, 512, 1024)


@MODELS.register_module()
class DLA(StagedBackbone):
    """Deep layer aggregation (Yu et al., CVPR 2018, table 1): level i has stride 2^i, for i = 0 to 5.

    Names of parameters are those of the original, and its ImageNet files load with ``init_cfg=dict(type='Pretrained',
    checkpoint='dla34-ba72cf86.pth')``; their classifier and the projections that the original never uses (41,728
    parameters in DLA-34) are left out, whatever else does not fit is an error. They were trained on RGB images in 0..1
    minus [0.485, 0.456, 0.406], divided by [0.229, 0.224, 0.225].

    Args:
        depth: 34, '46_c', '46x_c', '60x_c', 60, '60x', 102, '102x', '102x2' or 169.
        in_channels: Channels of the image.
        out_indices: Which levels to return, 0 to 5. Levels after the last one asked for are not built, so that no
            parameter is without a gradient.
        frozen_stages: -1 freezes nothing, 0 the base layer and levels 0 and 1, k these and levels 2 to k + 1 (no
            gradients, norms in eval mode).
        norm_cfg: Norm layer (BN, SyncBN, GN, ...).
        norm_eval: Keep the batch norms in eval mode while training: their running statistics do not move.
        with_cp: Recompute each level in the backward pass, which saves memory and changes no value.
        init_cfg: mmengine's initialisation config; the default is Kaiming normal.

    Raises:
        ValueError: An unknown depth; indices or frozen stages out of range.

    Example:
        >>> import torch
        >>> net = DLA(34)
        >>> [tuple(x.shape) for x in net(torch.rand(1, 3, 64, 96))]
        [(1, 64, 16, 24), (1, 128, 8, 12), (1, 256, 4, 6), (1, 512, 2, 3)]
    """

    arch_settings = {
        34: DLAArch((1, 1, 1, 2, 2, 1), (16, 32, 64, 128, 256, 512), BasicBlock),
        '46_c': DLAArch((1, 1, 1, 2, 2, 1), _COMPACT),
        '46x_c': DLAArch((1, 1, 1, 2, 2, 1), _COMPACT, cardinality=32),
        '60x_c': DLAArch((1, 1, 1, 2, 3, 1), _COMPACT, cardinality=32),
        60: DLAArch((1, 1, 1, 2, 3, 1), _FULL),
        '60x': DLAArch((1, 1, 1, 2, 3, 1), _FULL, cardinality=32),
        102: DLAArch((1, 1, 1, 3, 4, 1), _FULL, root_residual=True),
        '102x': DLAArch((1, 1, 1, 3, 4, 1), _FULL, cardinality=32, root_residual=True),
        '102x2': DLAArch((1, 1, 1, 3, 4, 1), _FULL, cardinality=64, root_residual=True),
        169: DLAArch((1, 1, 2, 3, 5, 1), _FULL, root_residual=True),
    }

    def __init__(
        self,
        depth: int | str = 34,
        in_channels: int = 3,
        out_indices: Sequence[int] = (2, 3, 4, 5),
        frozen_stages: int = -1,
        norm_cfg: dict | None = None,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ):
        if init_cfg is None:
            init_cfg = [
                dict(type='Kaiming', layer='Conv2d'),
                dict(type='Constant', val=1, layer=['_BatchNorm', 'GroupNorm']),
            ]
        levels = [f'level{i}' for i in range(6)]
        frozen_parts = [('base_layer', *levels[:2]), *((level,) for level in levels[2:])]
        super().__init__(levels, frozen_parts, out_indices, frozen_stages, norm_eval, init_cfg)
        if depth not in self.arch_settings:
            raise ValueError(f'DLA: depth is {depth!r}, expected one of {", ".join(map(repr, self.arch_settings))}')
        self.arch = self.arch_settings[depth]
        self.norm_cfg = norm_cfg or dict(type='BN', requires_grad=True)
        self.with_cp = with_cp
        self.out_channels = tuple(self.arch.channels[i] for i in self.out_indices)

        self.base_layer = conv_level(in_channels, self.arch.channels[0], 7, self.norm_cfg)
        for index, name in enumerate(self.stages):
            level = self._make_level(index)
            if with_cp:
                recompute(level)
            self.add_module(name, level)
        self.freeze()

    def _make_level(self, index: int) -> nn.Module:
        channels = self.arch.channels
        in_channels = channels[max(index - 1, 0)]
        depth = self.arch.depths[index]
        if index < 2:
            layers = []
            for i in range(depth):
                stride = 2 if index == 1 and i == 0 else 1
                layers += conv_level(channels[index] if i else in_channels, channels[index], 3, self.norm_cfg, stride)
            return nn.Sequential(*layers)
        return Tree(
            depth,
            self.arch.block,
            in_channels,
            channels[index],
            self.norm_cfg,
            stride=2,
            with_input=index > 2,
            root_residual=self.arch.root_residual,
            cardinality=self.arch.cardinality,
        )

    def unused_projections(self) -> list[str]:
        """Beginnings of the names of parameters that the original's files have and no output depends on."""
        return [name for level in self.stages[2:] for name in getattr(self, level).unused_projections(f'{level}.')]

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs) -> None:
        unused = tuple(prefix + name for name in self.unused_projections())
        for key in [key for key in state_dict if unused and key.startswith(unused)]:
            del state_dict[key]
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Image (N, in_channels, H, W) to one feature map (N, C, H / 2^i, W / 2^i) for each level i of out_indices.

        Raises:
            ValueError: The sides of the image are not multiples of the largest stride.
        """
        stride = 2 ** (len(self.stages) - 1)
        if x.shape[-2] % stride or x.shape[-1] % stride:
            raise ValueError(
                f'DLA: the images are {x.shape[-2]} x {x.shape[-1]}, expected multiples of {stride}: '
                f'data_preprocessor.pad_size_divisor={stride}'
            )
        x = self.base_layer(x)
        outs = []
        for index, name in enumerate(self.stages):
            x = getattr(self, name)(x)
            if index in self.out_indices:
                outs.append(x)
        return tuple(outs)
