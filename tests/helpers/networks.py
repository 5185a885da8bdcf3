"""Every network of ``mmkd.models``, a line or two each: how it is made, what goes in, what comes out.

``tests/models/test_networks.py`` tests them all in the same way. A new network needs an entry here; what only it does
is tested in a file of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from torch import Tensor, nn

from helpers.centermask_goldens import golden_stages
from helpers.tiny_center_mask import image_sample, tiny_center_mask
from mmkd.models import (
    DLA,
    AdaptiveRoIExtractor,
    BlockPaddedMobileNetV2,
    CenterMaskFCOSHead,
    CenterMaskIoUHead,
    DeepLabV3PlusHead,
    DilatedMobileNetV2,
    DilatedResNet,
    DLANeck,
    EfficientNetLite,
    ESPNet,
    ESPNetCHead,
    ESPNetHead,
    LateralPyramidHead,
    LightPyramidHead,
    MobileNetV2,
    PointCenterMaskHead,
    SpatialAttentionMaskHead,
    TimmBackbone,
    VoVNet,
)
from mmkd.registry import MODELS

__all__ = ['NETWORKS', 'Network', 'build', 'flat']

NUMBER = 2  # images in a batch
EVEN, ODD = (64, 96), (75, 101)
DEFORMABLE = r'torch\.export cannot follow deformable convolutions of mmcv: build'


@dataclass(frozen=True)
class Network:
    """How a network of few channels is made and what is known of it.

    Attributes:
        make: Makes it; options of its class are passed on.
        inputs: What its forward takes for a batch of images of a height and a width.
        shapes: Of all that comes out, in order, for images of 64 x 96; N x C x H x W.
        odd_sizes: Height and width of each of them for images of 75 x 101, or of the error that such images give.
        with_cp: Whether it takes the option and then recomputes activations.
        frozen: Modules that ``frozen_stages=1`` freezes; empty if there is no such option.
        norm_eval: Whether it takes the option.
        half: Whether it runs with all weights in bfloat16, not under autocast only.
        double: Whether it runs with all weights in double precision, which NMS of mmcv does not.
        graph: Whether ``torch.compile`` gets it into one graph.
        export: What ``torch.export`` says of it; empty if it exports, None if it takes more than tensors.
        traced: Whether ``torch.jit.trace`` gives a graph for images of any size.
        golden: Pairs of what it computes and what the original did, an array or its summary; see :mod:`helpers.golden`.
        needs: The package without which it is not tested.
    """

    make: Callable[..., nn.Module]
    inputs: Callable[[int, int], tuple]
    shapes: tuple[tuple[int, ...], ...]
    odd_sizes: tuple[tuple[int, int], ...] | str = ()
    with_cp: bool = False
    frozen: tuple[str, ...] = ()
    norm_eval: bool = False
    half: bool = True
    double: bool = True
    graph: bool = True
    export: str | None = ''
    traced: bool = True
    golden: Callable[[], Iterator[tuple[Tensor, Any]]] | None = None
    needs: str = ''


def build(network: Network, seed: int = 0, **options) -> nn.Module:
    """The network with random weights, in training mode."""
    torch.manual_seed(seed)
    return network.make(**options).train()


def flat(outputs) -> list[Tensor]:
    """All tensors of nested sequences."""
    return [outputs] if isinstance(outputs, Tensor) else [x for part in outputs for x in flat(part)]


# ------------------------------------------------------------------------------------------------- what goes in


def images(height: int, width: int) -> tuple:
    return (torch.randn(NUMBER, 3, height, width),)


def maps(*levels: tuple[int, int]) -> Callable[[int, int], tuple]:
    """One sequence of feature maps, given by channels and stride."""

    def inputs(height: int, width: int) -> tuple:
        return ([torch.randn(NUMBER, c, -(-height // s), -(-width // s)) for c, s in levels],)

    return inputs


def rois(height: int, width: int) -> tuple:
    """Features of three levels, and a box on each level."""
    boxes = [[0, 1, 2, 9, 9], [1, 4, 4, 30, 40], [1, 0, 0, 60, 60]]
    (features,) = maps((4, 8), (4, 16), (4, 32))(height, width)
    return [x.requires_grad_() for x in features], torch.tensor(boxes).float()


def pooled(*channels: int) -> Callable[[int, int], tuple]:
    """Pooled features of three boxes, whatever the size of the images; a number of channels of 0 is a map of logits."""
    return lambda height, width: tuple(torch.randn(3, c, 14, 14) if c else torch.randn(3, 28, 28) for c in channels)


def boxes_of_images(height: int, width: int) -> tuple:
    """Features, and boxes with classes of both images."""
    found = [InstanceData(bboxes=torch.tensor([[2.0, 3, 30, 40]]), labels=torch.tensor([k])) for k in range(NUMBER)]
    features = maps(*[(8, stride) for stride in (8, 16, 32, 64, 128)])(height, width)
    return *features, found, [image_sample(height=height, width=width)] * NUMBER


# ------------------------------------------------------------------------------------------ networks of several parts


def detector(backbone: dict, neck: dict | None = None, **head) -> nn.Module:
    head = dict(type='mmkd.PointCenterMaskHead', num_classes=3, feat_channels=8, shape_size=4, **head)
    with DefaultScope.overwrite_default_scope('mmdet'):
        return MODELS.build(dict(type='mmkd.PointCenterMask', backbone=backbone, neck=neck, bbox_head=head))


def chatty_center_mask() -> nn.Module:
    with DefaultScope.overwrite_default_scope('mmdet'):
        return tiny_center_mask()


def segmentor(kind: str, backbone: dict, **head) -> nn.Module:
    head.setdefault('norm_cfg', dict(type='BN', requires_grad=True))
    with DefaultScope.overwrite_default_scope('mmseg'):
        return MODELS.build(dict(type=kind, backbone=backbone, decode_head=head, test_cfg=dict(mode='whole')))


def shapes(*maps: tuple[int, int], number: int = NUMBER) -> tuple[tuple[int, ...], ...]:
    """Of maps with these channels and strides, of images of 64 x 96."""
    return tuple((number, channels, EVEN[0] // stride, EVEN[1] // stride) for channels, stride in maps)


def rounded_up(*strides: int) -> tuple[tuple[int, int], ...]:
    """Sizes of maps of these strides, of images of 75 x 101."""
    return tuple((-(-ODD[0] // stride), -(-ODD[1] // stride)) for stride in strides)


DILATED = dict(type='mmkd.DilatedResNet', depth=18, base_channels=4, stem_channels=8)
PYRAMID = ((6, 4), (8, 8), (10, 16), (12, 32))
RESNET = ('stem', 'layer1')
INVERTED = ('conv1', 'layer1')
TRAINING = dict(with_cp=True, norm_eval=True)  # the options of most backbones
DLA_SIZES = r'DLA: the images are 75 x 101, expected multiples of 32: data_preprocessor.pad_size_divisor=32'
MULTIPLES = dict(odd_sizes=DLA_SIZES)

NETWORKS = {
    # backbones
    'VoVNet': Network(
        partial(VoVNet, 'V-19-slim-dw-eSE', norm_eval=False), images,
        shapes((112, 4), (256, 8), (384, 16), (512, 32)), ((19, 26), (9, 13), (4, 6), (2, 3)),
        frozen=('stem', 'stage2'), golden=golden_stages, **TRAINING,
    ),
    'VoVNet-DCN': Network(
        partial(VoVNet, 'V-19-slim-eSE', stage_with_dcn=(0, 0, 0, 1), dcn=dict(type='DCNv2'), norm_eval=False), images,
        shapes((112, 4), (256, 8), (384, 16), (512, 32)), ((19, 26), (9, 13), (4, 6), (2, 3)),
        graph=False, export=DEFORMABLE,
    ),
    'DLA': Network(
        partial(DLA, '46_c'), images, shapes((64, 4), (64, 8), (128, 16), (256, 32)), DLA_SIZES,
        frozen=('base_layer', 'level0', 'level1', 'level2'), **TRAINING,
    ),
    'DLA-34': Network(partial(DLA, 34, out_indices=(0, 1, 2)), images, shapes((16, 1), (32, 2), (64, 4)), with_cp=True),
    'ESPNet': Network(ESPNet, images, shapes((19, 2), (131, 4), (256, 8)), rounded_up(2, 4, 8)),
    'EfficientNetLite': Network(
        EfficientNetLite, images, shapes((24, 4), (40, 8), (112, 16), (320, 32)), rounded_up(4, 8, 16, 32),
        frozen=('layers.0',), **TRAINING,
    ),
    'MobileNetV2': Network(
        partial(MobileNetV2, widen_factor=0.5), images,
        shapes((16, 4), (16, 8), (48, 16), (160, 32)), rounded_up(4, 8, 16, 32),
        frozen=INVERTED, **TRAINING,
    ),
    'DilatedMobileNetV2': Network(
        partial(DilatedMobileNetV2, widen_factor=0.5), images,
        shapes((16, 4), (16, 8), (48, 8), (160, 8)), rounded_up(4, 8, 8, 8),
        frozen=INVERTED, **TRAINING,
    ),
    'BlockPaddedMobileNetV2': Network(
        partial(BlockPaddedMobileNetV2, widen_factor=0.5, out_indices=(1, 6)), images,
        shapes((16, 4), (160, 16)), rounded_up(4, 16),
        frozen=INVERTED, **TRAINING,
    ),
    'DilatedResNet': Network(
        partial(DilatedResNet, 18, base_channels=8, stem_channels=16), images,
        ((2, 8, 17, 25), (2, 16, 9, 13), (2, 32, 9, 13), (2, 64, 9, 13)), ((20, 26), (10, 13), (10, 13), (10, 13)),
        frozen=RESNET, **TRAINING,
    ),
    'DilatedResNet-50': Network(
        partial(DilatedResNet, 50, base_channels=4, stem_channels=8, ceil_mode=False), images,
        shapes((16, 4), (32, 8), (64, 8), (128, 8)), ((19, 26), (10, 13), (10, 13), (10, 13)),
        frozen=RESNET, **TRAINING,
    ),
    'TimmBackbone': Network(
        partial(TimmBackbone, 'tf_efficientnet_lite0'), images,
        shapes((24, 4), (40, 8), (112, 16), (320, 32)), rounded_up(4, 8, 16, 32),
        frozen=('timm_model.conv_stem', 'timm_model.bn1', 'timm_model.blocks.0', 'timm_model.blocks.1'),
        norm_eval=True, needs='timm',
    ),
    # necks
    'DLANeck': Network(partial(DLANeck, (6, 8, 10, 12)), maps(*PYRAMID), shapes((6, 4))),
    'DLANeck-DCN': Network(
        partial(DLANeck, (6, 8, 10, 12), conv_cfg=dict(type='DCNv2', deform_groups=1)), maps(*PYRAMID), shapes((6, 4)),
        graph=False, export=DEFORMABLE,
    ),
    # decode heads
    'DeepLabV3PlusHead': Network(
        partial(DeepLabV3PlusHead, in_channels=12, in_index=3, channels=8, c1_in_channels=6, c1_channels=4,
                num_classes=5, aspp_dropout_ratio=0, decoder_dropout_ratio=0, dropout_ratio=0),
        maps(*PYRAMID), shapes((5, 4)), rounded_up(4),
    ),
    'ESPNetCHead': Network(
        partial(ESPNetCHead, 5, in_channels=12), maps((6, 2), (8, 4), (12, 8)), shapes((5, 8)), rounded_up(8),
    ),
    'ESPNetHead': Network(
        partial(ESPNetHead, 5, in_channels=(6, 8, 12)), maps((6, 2), (8, 4), (12, 8)), shapes((5, 1)), ((76, 102),),
    ),
    'LateralPyramidHead': Network(
        partial(LateralPyramidHead, (6, 8, 10, 12), 8, dict(number=20, min_depth=0.1, max_depth=10.0), dropout_ratio=0),
        maps(*PYRAMID), shapes((20, 4)), rounded_up(4),
    ),
    'LightPyramidHead': Network(
        partial(LightPyramidHead, (6, 8, 10, 12), 8, num_classes=5, dropout_ratio=0), maps(*PYRAMID), shapes((5, 4)),
        rounded_up(4),
    ),
    # heads of detectors
    'CenterMaskFCOSHead': Network(
        partial(CenterMaskFCOSHead, 3, 8, feat_channels=8, stacked_convs=1, norm_cfg=dict(type='GN', num_groups=2)),
        maps((8, 8), (8, 16), (8, 32), (8, 64), (8, 128)),
        tuple((2, c, h, w) for c in (3, 4, 1) for h, w in ((8, 12), (4, 6), (2, 3), (1, 2), (1, 1))),
        rounded_up(8, 16, 32, 64, 128) * 3,
    ),
    'PointCenterMaskHead': Network(
        partial(PointCenterMaskHead, 3, 8, feat_channels=8, shape_size=4), maps((8, 4)),
        shapes((3, 4), (2, 4), (2, 4), (16, 4), (3, 4)), rounded_up(4) * 5,
    ),
    # second stages
    'AdaptiveRoIExtractor': Network(
        partial(AdaptiveRoIExtractor, dict(type='RoIAlign', output_size=7, sampling_ratio=0), 4, [8, 16, 32]), rois,
        ((3, 4, 7, 7),), ((7, 7),), graph=False, export=r'torch\.export cannot follow RoIAlign of mmcv',
    ),
    'SpatialAttentionMaskHead': Network(
        partial(SpatialAttentionMaskHead, num_convs=1, in_channels=4, conv_out_channels=4, num_classes=3), pooled(4),
        ((3, 3, 28, 28),), ((28, 28),),
    ),
    'CenterMaskIoUHead': Network(
        partial(CenterMaskIoUHead, num_convs=1, in_channels=4, conv_out_channels=4, fc_out_channels=8, num_classes=3),
        pooled(4, 0), ((3, 3),),
    ),
    'CenterMaskRoIHead': Network(
        lambda: chatty_center_mask().roi_head, boxes_of_images, ((2, 3, 28, 28), (2, 3)), graph=False, export=None,
        traced=False,
    ),
    # detectors
    'CenterMask': Network(
        chatty_center_mask, images, double=False, graph=False,
        export=r'torch\.export cannot follow NMS .* model\.bbox_head\(model\.extract',
        shapes=tuple((2, c, h, w) for c in (3, 4, 1) for h, w in ((8, 12), (4, 6), (2, 3), (1, 2), (1, 1)))
        + ((100, 3, 28, 28), (100, 3)),
    ),
    'PointCenterMask': Network(
        partial(
            detector, dict(type='mmkd.DLA', depth='46_c', out_indices=(2, 3, 4)),
            dict(type='mmkd.DLANeck', in_channels=(64, 64, 128)), in_channels=64,
        ),
        images, shapes((3, 4), (2, 4), (2, 4), (16, 4), (3, 4)),
        r'DLA: the images are 75 x 101, expected multiples of 16',
    ),
    # segmentors, and depth
    'PSPNet': Network(
        partial(segmentor, 'EncoderDecoder', DILATED, type='PSPHead', in_channels=32, in_index=3, channels=4,
                num_classes=5, align_corners=True, dropout_ratio=0),
        images, ((2, 5, 9, 13),), ((10, 13),), graph=False,  # mmseg warns of sizes, which ends a graph
    ),
    'ESPNet-segmentor': Network(
        partial(segmentor, 'EncoderDecoder', dict(type='mmkd.ESPNet', depths=(1, 1)), type='mmkd.ESPNetHead',
                num_classes=5),
        images, shapes((5, 1)), ((76, 102),),
    ),
    'DeepLabV3+': Network(
        partial(segmentor, 'EncoderDecoder', dict(type='mmkd.BlockPaddedMobileNetV2', widen_factor=0.25,
                out_indices=(1, 6)), type='mmkd.DeepLabV3PlusHead', in_channels=80, in_index=1, channels=8,
                c1_in_channels=8, c1_channels=4, num_classes=5, aspp_dropout_ratio=0, decoder_dropout_ratio=0,
                dropout_ratio=0),
        images, shapes((5, 4)), rounded_up(4),
    ),
    'depth': Network(
        partial(segmentor, 'DepthEstimator', dict(type='mmkd.MobileNetV2', widen_factor=0.25),
                type='mmkd.LateralPyramidHead', in_channels=[8, 8, 24, 80], channels=8,
                bins=dict(number=20, min_depth=0.1, max_depth=10.0),
                dropout_ratio=0),
        images, shapes((20, 4)), rounded_up(4),
    ),
}  # fmt: skip
