"""The golden files of CenterMask2, and the shipped models they belong to.

More files of the same kind are found in the folders that the environment variable ``MMKD_GOLDENS`` lists (separated as
in ``PATH``): other models (``C_infer_V-39-eSE_im2.npz`` is CenterMask V-39 on the second image) and the second image
itself, which the training goldens need in full.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor

from helpers.golden import (
    BACKBONE_PREFIX,
    GOLDENS,
    golden_arrays,
    golden_image,
    golden_keys,
    golden_models,
    golden_state_dict,
    golden_summary,
)
from mmkd.converters import CenterMask2Format, convert_state_dict
from mmkd.models import VoVNet
from mmkd.registry import MODELS

CONFIGS = Path(__file__).parents[2] / 'configs' / 'centermask'
_CONFIG_NAMES = {
    'Mv2': 'mobilenetv2',
    'R-50': 'r50',
    'R-101': 'r101',
    'X-101': 'x101',
}


def golden_files(pattern: str) -> list[Path]:
    """All golden files whose name matches, e.g. ``'C_infer_*'``, those of the repository first."""
    folders = [GOLDENS / 'centermask2', *map(Path, filter(None, os.environ.get('MMKD_GOLDENS', '').split(os.pathsep)))]
    files = {path.stem: path for folder in reversed(folders) for path in sorted(folder.glob(f'{pattern}.npz'))}
    return sorted(files.values(), key=lambda path: (folders.index(path.parent), path.name))


def load(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return {key: file[key] for key in file.files}


def config_path(model: str) -> Path:
    """The shipped config of a model of the goldens, e.g. ``'lite-V-19-slim-dw-eSE'`` or ``'V-39-eSE-dcn'``."""
    lite = model.startswith('lite-')
    backbone = model.removeprefix('lite-')
    if backbone in _CONFIG_NAMES:
        name = _CONFIG_NAMES[backbone]
    else:
        depth, slim_or_dw, dcn = re.fullmatch(r'V-(\d+)((?:-slim)?(?:-dw)?)-eSE((?:-dcn)?)', backbone).groups()
        name = f'v{depth}{slim_or_dw}{dcn}'
    return CONFIGS / (f'centermask-lite_{name}_fpn_ms-4x_coco.py' if lite else f'centermask_{name}_fpn_ms-3x_coco.py')


@lru_cache(maxsize=1)
def _converted(model: str) -> tuple[torch.nn.Module, dict[str, str]]:
    config = Config.fromfile(config_path(model))
    config.model.backbone.init_cfg = None
    with DefaultScope.overwrite_default_scope('mmdet'):
        detector = MODELS.build(config.model)
    state = golden_state_dict(golden_keys(f'centermask2-{model}'))
    conversion = convert_state_dict(state, detector, CenterMask2Format())
    assert not conversion.unused
    detector.load_state_dict(conversion.tensors, strict=True)
    return detector.eval(), {theirs: ours for ours, theirs in conversion.sources.items()}


def golden_stages(archs=('V-19-slim-dw-eSE', 'V-19-eSE', 'V-39-eSE')) -> Iterator[tuple[Tensor, np.ndarray | dict]]:
    """The maps of VoVNets with the golden weights for images of even and of odd sides, and those of the original."""
    for arch in archs:
        arrays = golden_arrays(f'centermask2/A_backbone_{arch}')
        model = next(name for name in golden_models() if name.split('-V-')[-1] == arch.removeprefix('V-'))
        keys = golden_keys(model, BACKBONE_PREFIX)
        weights = {key.removeprefix(BACKBONE_PREFIX): value for key, value in golden_state_dict(keys).items()}
        backbone = VoVNet(arch).eval()
        # FrozenBN checkpoints have no num_batches_tracked; torch fills it in for files of its oldest format.
        backbone.load_state_dict(weights, strict=True)
        for size, shape in dict(even=(1, 3, 96, 128), odd=(1, 3, 75, 101)).items():
            with torch.no_grad():
                outputs = backbone(golden_image(f'A_{size}', shape))
            for number, output in enumerate(outputs, start=2):
                name = f'{size}_stage{number}'
                kept = [arrays[name]] if name in arrays else []
                kept += [golden_summary(arrays, name)] if f'{name}_mean' in arrays else []
                assert kept, f'nothing is known of {name} of {arch}'
                yield from ((output, expected) for expected in kept)


def golden_model(model: str) -> torch.nn.Module:
    """The detector of the shipped config with the golden weights, in eval mode, through the converter."""
    return _converted(model)[0]


def original_names(model: str) -> dict[str, str]:
    """``{name in the original checkpoint: name in our detector}``."""
    return _converted(model)[1]


def packed_image(image: np.ndarray, output_size: tuple[int, int] | None = None, gt_instances=None) -> dict:
    """One image as a data loader gives it.

    Args:
        image: BGR (H, W, 3) of uint8, of the size the network sees.
        output_size: (height, width) of the image the results are asked for, by default that of ``image``.
        gt_instances: Ground truth.
    """
    height, width = image.shape[:2]
    out_height, out_width = output_size or (height, width)
    meta = dict(
        img_shape=(height, width),
        ori_shape=(out_height, out_width),
        scale_factor=(width / out_width, height / out_height),
    )
    sample = DetDataSample(metainfo=meta)
    if gt_instances is not None:
        sample.gt_instances = gt_instances
    return dict(inputs=torch.from_numpy(image.transpose(2, 0, 1).copy()), data_samples=sample)


def collate(*items: dict) -> dict:
    return {key: [item[key] for item in items] for key in items[0]}


def image_of_golden_files(tag: str) -> np.ndarray | None:
    """The image ``'im1'`` or ``'im2'`` from any inference file, None where no file at hand holds it."""
    for path in golden_files(f'C_infer_*_{tag}'):
        return load(path)['image_bgr_u8']
    return None
