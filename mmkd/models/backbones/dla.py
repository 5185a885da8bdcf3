"""Deep layer aggregation, the smaller backbone of CenterNet and of CenterMask with point representation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmkd.registry import MODELS

from ..utils import recompute
from .dla_layers import BasicBlock, Bottleneck, Tree, conv_level
from .pretrained import load_pretrained_backbone, without_pretrained

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
class DLA(BaseModule):
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
        super().__init__(init_cfg)
        if depth not in self.arch_settings:
            raise ValueError(f'DLA: depth is {depth!r}, expected one of {", ".join(map(repr, self.arch_settings))}')
        self.out_indices = _checked_out_indices(out_indices)
        if frozen_stages not in range(-1, 5):
            raise ValueError(f'DLA: frozen_stages is {frozen_stages!r}, expected -1 (nothing) to 4 (all levels)')
        self.arch = self.arch_settings[depth]
        self.frozen_stages = frozen_stages
        self.norm_cfg = norm_cfg or dict(type='BN', requires_grad=True)
        self.norm_eval = norm_eval
        self.with_cp = with_cp
        self.out_channels = tuple(self.arch.channels[i] for i in self.out_indices)

        self.base_layer = conv_level(in_channels, self.arch.channels[0], 7, self.norm_cfg)
        self.num_levels = max(self.out_indices) + 1
        for index in range(self.num_levels):
            level = self._make_level(index)
            if with_cp:
                recompute(level)
            self.add_module(f'level{index}', level)
        self._freeze_stages()

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

    def init_weights(self) -> None:
        """Initialises as ``init_cfg`` says.

        Raises:
            FileNotFoundError: The file of ``dict(type='Pretrained', checkpoint=...)`` does not exist.
            ValueError: It does not have all weights of this backbone.
        """
        with without_pretrained(self) as pretrained:
            super().init_weights()
        for config in pretrained:
            options = {key: value for key, value in config.items() if key != 'type'}
            load_pretrained_backbone(self, unused=self.unused_projections(), **options)

    def unused_projections(self) -> list[str]:
        """Beginnings of the names of parameters that the original's files have and no output depends on."""
        levels = [(f'level{i}.', getattr(self, f'level{i}')) for i in range(2, self.num_levels)]
        return [name for prefix, level in levels for name in level.unused_projections(prefix)]

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
        stride = 2 ** (self.num_levels - 1)
        if x.shape[-2] % stride or x.shape[-1] % stride:
            raise ValueError(
                f'DLA: the images are {x.shape[-2]} x {x.shape[-1]}, expected multiples of {stride}: '
                f'data_preprocessor.pad_size_divisor={stride}'
            )
        x = self.base_layer(x)
        outs = []
        for index in range(self.num_levels):
            x = getattr(self, f'level{index}')(x)
            if index in self.out_indices:
                outs.append(x)
        return tuple(outs)

    def train(self, mode: bool = True) -> DLA:
        """As ``nn.Module.train``, but what is frozen stays in eval mode."""
        super().train(mode)
        self._freeze_stages()
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def _freeze_stages(self) -> None:
        if self.frozen_stages < 0:
            return
        for name in ['base_layer', *(f'level{i}' for i in range(self.frozen_stages + 2))]:
            module = getattr(self, name, None)
            if module is not None:
                module.eval()
                module.requires_grad_(False)


def _checked_out_indices(out_indices: Sequence[int]) -> tuple[int, ...]:
    out_indices = tuple(out_indices)
    if not out_indices or sorted(set(out_indices)) != list(out_indices) or not set(out_indices) <= set(range(6)):
        raise ValueError(f'DLA: out_indices is {out_indices!r}, expected increasing values of 0 to 5')
    return out_indices
