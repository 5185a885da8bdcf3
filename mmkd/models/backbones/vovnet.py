"""VoVNetV2, the backbone of CenterMask."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from mmkd.registry import MODELS

from ..utils import recompute
from .staged_backbone import StagedBackbone
from .vovnet_layers import OSABlock, conv_norm_relu, depthwise_conv_norm_relu, ordinary_name

__all__ = ['VoVNet', 'VoVNetArch']


class VoVNetArch(NamedTuple):
    """What distinguishes the variants; the tuples hold one value for each of stage 2 to stage 5."""

    stem_channels: tuple[int, int, int]
    layer_channels: tuple[int, int, int, int]
    out_channels: tuple[int, int, int, int]
    num_layers: int
    num_blocks: tuple[int, int, int, int]
    depthwise: bool = False


_SLIM = ((64, 80, 96, 112), (112, 256, 384, 512))
_FULL = ((128, 160, 192, 224), (256, 512, 768, 1024))


@MODELS.register_module()
class VoVNet(StagedBackbone):
    """VoVNetV2 with effective squeeze-and-excitation (Lee and Park, CenterMask, CVPR 2020, section 3.3).

    The stages work at strides 4, 8, 16 and 32. The original's ImageNet files load with
    ``init_cfg=dict(type='Pretrained', checkpoint=...)``; a file that does not fit is an error. They were used with BGR
    images in 0..255 minus the mean [103.53, 116.28, 123.675], and every norm frozen::

        norm_cfg=dict(type='BN', requires_grad=False), norm_eval=True, frozen_stages=-1

    Args:
        arch: 'V-19-slim-dw-eSE', 'V-19-dw-eSE', 'V-19-slim-eSE', 'V-19-eSE', 'V-39-eSE', 'V-57-eSE' or 'V-99-eSE'.
        in_channels: Channels of the image.
        out_indices: Which stages to return: 0 is stage 2 (stride 4), 3 is stage 5 (stride 32). Stages after the last
            one asked for are not built, so that no parameter is without a gradient.
        ese_on: 'all': a gate in every block, as the published weights have it; 'last': only in the last block of each
            stage, as timm has it.
        stage_with_dcn: For stages 2 to 5, whether its 3x3 layers are deformable.
        dcn: mmcv config of the deformable layers, e.g. ``dict(type='DCNv2', deform_groups=1)``.
        frozen_stages: -1 freezes nothing, 0 the stem, k the stem and stages 2 to k + 1 (no gradients, norms in eval
            mode). detectron2's ``FREEZE_AT = k`` is ``frozen_stages = k - 1``.
        norm_cfg: Norm layer (BN, SyncBN, GN, ...).
        norm_eval: Keep the batch norms in eval mode while training: their running statistics do not move.
        with_cp: Recompute each block in the backward pass, which saves memory and changes no value.
        init_cfg: mmengine's initialisation config; the default is Kaiming normal, with deformable offsets at zero.

    Raises:
        ValueError: An unknown arch or ese_on, indices or frozen stages out of range, deformable stages that do not
            fit.

    Example:
        >>> import torch
        >>> net = VoVNet('V-19-slim-dw-eSE', out_indices=(1, 2, 3))
        >>> [tuple(x.shape) for x in net(torch.rand(1, 3, 64, 96))]
        [(1, 256, 8, 12), (1, 384, 4, 6), (1, 512, 2, 3)]
    """

    arch_settings = {
        'V-19-slim-dw-eSE': VoVNetArch((64, 64, 64), *_SLIM, 3, (1, 1, 1, 1), depthwise=True),
        'V-19-dw-eSE': VoVNetArch((64, 64, 64), *_FULL, 3, (1, 1, 1, 1), depthwise=True),
        'V-19-slim-eSE': VoVNetArch((64, 64, 128), *_SLIM, 3, (1, 1, 1, 1)),
        'V-19-eSE': VoVNetArch((64, 64, 128), *_FULL, 3, (1, 1, 1, 1)),
        'V-39-eSE': VoVNetArch((64, 64, 128), *_FULL, 5, (1, 1, 2, 2)),
        'V-57-eSE': VoVNetArch((64, 64, 128), *_FULL, 5, (1, 1, 4, 3)),
        'V-99-eSE': VoVNetArch((64, 64, 128), *_FULL, 5, (1, 3, 9, 3)),
    }

    def __init__(
        self,
        arch: str,
        in_channels: int = 3,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        ese_on: str = 'all',
        stage_with_dcn: Sequence[bool] = (False, False, False, False),
        dcn: dict | None = None,
        frozen_stages: int = -1,
        norm_cfg: dict | None = None,
        norm_eval: bool = True,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ):
        if init_cfg is None:
            init_cfg = [
                dict(type='Kaiming', layer='Conv2d', mode='fan_in'),
                dict(type='Constant', val=1, layer=['_BatchNorm', 'GroupNorm']),
            ]
        stages = [f'stage{i}' for i in range(2, 6)]
        frozen_parts = [('stem',), *((stage,) for stage in stages)]
        super().__init__(stages, frozen_parts, out_indices, frozen_stages, norm_eval, init_cfg)
        _check_choice('arch', arch, self.arch_settings)
        _check_choice('ese_on', ese_on, ('all', 'last'))
        self.arch = self.arch_settings[arch]
        self.norm_cfg = norm_cfg or dict(type='BN', requires_grad=True)
        self.ese_on = ese_on
        self.with_cp = with_cp
        self.out_channels = tuple(self.arch.out_channels[i] for i in self.out_indices)
        dcn_of_stages = self._checked_dcn(arch, stage_with_dcn, dcn)

        self.stem = self._make_stem(in_channels)
        channels = (self.arch.stem_channels[-1], *self.arch.out_channels)
        for index, name in enumerate(self.stages):
            self.add_module(name, self._make_stage(index, channels[index], dcn_of_stages[index]))
        self.freeze()

    def _checked_dcn(self, arch: str, stage_with_dcn: Sequence[bool], dcn: dict | None) -> list[dict | None]:
        if len(stage_with_dcn) != 4:
            raise ValueError(f'VoVNet: stage_with_dcn is {stage_with_dcn!r}, expected one value for each of 4 stages')
        if any(stage_with_dcn) and dcn is None:
            raise ValueError("VoVNet: stage_with_dcn needs dcn, e.g. dcn=dict(type='DCNv2', deform_groups=1)")
        if any(stage_with_dcn) and self.arch.depthwise:
            raise ValueError(f'VoVNet: stage_with_dcn is {stage_with_dcn!r}, but the layers of {arch} are depthwise')
        # mmdet's ResNet configs carry a switch for strided layers, of which there are none here.
        dcn = {key: value for key, value in (dcn or {}).items() if key != 'fallback_on_stride'}
        return [dcn if wanted else None for wanted in stage_with_dcn]

    def _make_stem(self, in_channels: int) -> nn.Sequential:
        first, second, third = self.arch.stem_channels
        modules = OrderedDict(stem_1=conv_norm_relu(in_channels, first, 3, self.norm_cfg, stride=2))
        if self.arch.depthwise:
            modules['stem_2'] = depthwise_conv_norm_relu(second, self.norm_cfg)
            modules['stem_3'] = depthwise_conv_norm_relu(third, self.norm_cfg, stride=2)
        else:
            modules['stem_2'] = conv_norm_relu(first, second, 3, self.norm_cfg)
            modules['stem_3'] = conv_norm_relu(second, third, 3, self.norm_cfg, stride=2)
        return nn.Sequential(modules)

    def _make_stage(self, index: int, in_channels: int, dcn: dict | None) -> nn.Sequential:
        out_channels = self.arch.out_channels[index]
        num_blocks = self.arch.num_blocks[index]
        modules = OrderedDict()
        if index > 0:
            modules['Pooling'] = nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)
        for i in range(num_blocks):
            block = OSABlock(
                in_channels=in_channels if i == 0 else out_channels,
                layer_channels=self.arch.layer_channels[index],
                out_channels=out_channels,
                num_layers=self.arch.num_layers,
                norm_cfg=self.norm_cfg,
                identity=i > 0,
                with_ese=self.ese_on == 'all' or i == num_blocks - 1,
                depthwise=self.arch.depthwise,
                dcn=dcn,
            )
            if self.with_cp:
                recompute(block)
            modules[f'OSA{index + 2}_{i + 1}'] = block
        return nn.Sequential(modules)

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs) -> None:
        for key in [key for key in state_dict if key.startswith(prefix) and '/' in key]:
            state_dict[prefix + ordinary_name(key[len(prefix) :])] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Image (N, in_channels, H, W) to one feature map (N, C, H / stride, W / stride) for each of out_indices."""
        x = self.stem(x)
        outs = []
        for index, name in enumerate(self.stages):
            x = getattr(self, name)(x)
            if index in self.out_indices:
                outs.append(x)
        return tuple(outs)


def _check_choice(key: str, value, choices) -> None:
    if value not in choices:
        raise ValueError(f'VoVNet: {key} is {value!r}, expected one of {", ".join(map(repr, choices))}')
