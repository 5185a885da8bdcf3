"""What the tests of the converters share."""

from functools import cache
from pathlib import Path

import torch
from mmengine.config import Config

from mmkd.apis.convert import build_on_meta

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs' / 'centermask'


def config_of(model: str) -> Path:
    """The shipped config of an original model: ``'centermask2-lite-V-19-slim-dw-eSE'``."""
    name = model.removeprefix('centermask2-')
    prefix, schedule = 'centermask', '3x'
    if name.startswith('lite-'):
        name, prefix, schedule = name.removeprefix('lite-'), 'centermask-lite', '4x'
    name = {'Mv2': 'mobilenetv2', 'R-50': 'r50'}.get(name, name.replace('V-', 'v').replace('-eSE', ''))
    return CONFIGS / f'{prefix}_{name}_fpn_ms-{schedule}_coco.py'


@cache
def model_of(config: Path):
    """The model of a config, without storage. Converters do not change it."""
    return build_on_meta(Config.fromfile(config))


def numbered_tensors(shapes: dict) -> dict[str, torch.Tensor]:
    """Tensors of the given shapes, each filled with a number of its own, without storage for all of it."""
    return {name: torch.tensor(float(i)).expand(shape) for i, (name, shape) in enumerate(shapes.items(), start=1)}
