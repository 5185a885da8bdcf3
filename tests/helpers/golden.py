"""Golden numbers of the original implementations, and the formula behind the weights they were made with.

The arrays lie in ``tests/data/goldens`` (its README says what each holds, and how closely it has to be met). Every
weight follows from the name and the shape its tensor has in the original checkpoint, so no checkpoint is needed:
``golden_state_dict(golden_keys('centermask2-V-39-eSE'))`` is a whole detector.
"""

from __future__ import annotations

import json
import re
import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

GOLDENS = Path(__file__).parents[1] / 'data' / 'goldens'
BACKBONE_PREFIX = 'backbone.bottom_up.'

# Tensors with two or more dimensions are normal with the deviation gain * sqrt(2 / fan_in). Rows: pattern of the name,
# gain, whether the mean over the inputs of each output is taken away first. The first row that fits counts.
_SQRT_HALF = 0.70710678
_GAINS = (
    (r'stem\.stem_1/conv\.weight$', 1 / 64, False),
    (r'bottom_up\.features\.0\.0\.weight$', 1 / 64, False),
    (r'/dw_conv3x3\.weight$', _SQRT_HALF, False),
    (r'/conv_offset\.weight$', 0.35, False),
    (r'\.ese\.fc\.weight$', _SQRT_HALF, False),
    (r'fpn_lateral\d\.weight$', _SQRT_HALF, True),
    (r'fpn_output\d\.weight$', _SQRT_HALF, False),
    (r'fcos_head\.(cls|bbox)_tower\.\d+\.weight$', 1.0, True),
    (r'fcos_head\.cls_logits\.weight$', 3.0, True),
    (r'fcos_head\.bbox_pred\.weight$', 0.8, True),
    (r'fcos_head\.ctrness\.weight$', 1.0, True),
    (r'mask_head\.spatialAtt\.conv\.weight$', 1.0, False),
    (r'mask_head\.deconv\.weight$', 2.0, False),
    (r'mask_head\.predictor\.weight$', 1.0, True),
    (r'maskiou_head\.maskiou\.weight$', 0.2, True),
)
_BIAS_SHIFTS = (
    (r'\.ese\.fc\.bias$', 1.0),
    (r'fcos_head\.cls_logits\.bias$', -9.5),
    (r'fcos_head\.bbox_pred\.bias$', 2.0),
    (r'maskiou_head\.maskiou\.bias$', 0.7),
)
_SCALES = (2.5, 2.5, 2.2, 1.3, 0.8)


def _random_state(text: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(text.encode('utf-8')) & 0x7FFFFFFF)


def golden_tensor(name: str, shape) -> Tensor:
    """The float32 tensor of a checkpoint key, e.g. ``'backbone.bottom_up.stem.stem_1/conv.weight'``."""
    shape = tuple(int(size) for size in shape)
    noise = _random_state(name).standard_normal(shape)
    scale = re.search(r'scales\.(\d+)\.scale$', name)
    if name.endswith('.running_var'):
        value = 1 + 0.1 * np.abs(noise)
    elif name.endswith('.running_mean'):
        value = 0.1 * noise
    elif scale:
        value = _SCALES[int(scale[1])] * (1 + 0.05 * noise)
    elif name.endswith('.weight') and len(shape) == 1:
        value = 1 + 0.1 * noise
    elif name.endswith('.weight'):
        gain, centred = next((row[1:] for row in _GAINS if re.search(row[0], name)), (1.0, False))
        if centred:
            noise = noise - noise.mean(axis=tuple(range(1, len(shape))), keepdims=True)
        value = gain * np.sqrt(2 / np.prod(shape[1:])) * noise
    elif name.endswith('.bias'):
        shift = next((row[1] for row in _BIAS_SHIFTS if re.search(row[0], name)), 0.0)
        value = shift + 0.1 * noise
    else:
        raise KeyError(f'no formula for the checkpoint key {name!r}')
    return torch.from_numpy(np.ascontiguousarray(value, dtype=np.float32))


def golden_state_dict(shapes: dict) -> dict[str, Tensor]:
    """All tensors of ``{checkpoint key: shape}``."""
    return {name: golden_tensor(name, shape) for name, shape in shapes.items()}


def golden_image(tag: str, shape) -> Tensor:
    """A smooth random image (N, 3, H, W) with noise on it, of about the range of a mean-subtracted one.

    Each channel is a 4x4 grid of uniform draws, interpolated along the height and then the width, plus normal noise.
    """
    number, channels, height, width = shape
    random = _random_state(f'golden_image/{tag}')
    rows, columns = np.linspace(0, 3, height), np.linspace(0, 3, width)
    image = np.empty((number, channels, height, width))
    for n in range(number):
        for c in range(channels):
            grid = random.uniform(-100, 100, (4, 4))
            tall = np.stack([np.interp(rows, range(4), grid[:, column]) for column in range(4)], axis=1)
            smooth = np.stack([np.interp(columns, range(4), row) for row in tall])
            image[n, c] = smooth + 20 * random.standard_normal((height, width))
    return torch.from_numpy(image.astype(np.float32))


@lru_cache
def _all_keys() -> dict:
    keys = {}
    for path in (GOLDENS / 'centermask_keys.json', GOLDENS / 'centermask2' / 'keys_extra.json'):
        keys.update(json.loads(path.read_text()))
    return keys


def golden_models() -> list[str]:
    """The models whose keys are known, e.g. ``'centermask2-V-39-eSE'``, ``'centermask2-lite-Mv2'``."""
    return sorted(_all_keys())


def golden_keys(model: str, prefix: str = '') -> dict[str, list[int]]:
    """``{original checkpoint key: shape}`` of a model, only the keys that start with ``prefix`` (which is kept)."""
    return {key: shape for key, shape in _all_keys()[model].items() if key.startswith(prefix)}


def golden_arrays(name: str) -> dict[str, np.ndarray]:
    """The arrays of one file, e.g. ``'centermask2/E_units'`` or ``'skd'``."""
    with np.load(GOLDENS / f'{name}.npz') as file:
        return {key: file[key] for key in file.files}


def golden_summary(arrays: dict, name: str) -> dict[str, np.ndarray]:
    """The summary ``{'shape', 'mean', 'std', 'l2', 'idx', 'val'}`` of one tensor among ``arrays``."""
    return {part: arrays[f'{name}_{part}'] for part in ('shape', 'mean', 'std', 'l2', 'idx', 'val')}


def assert_matches_summary(tensor: Tensor, summary: dict, val_tolerance: float = 5e-5) -> None:
    """Shape, mean, deviation, norm and samples of a feature map, each to the tolerance of the goldens' README."""
    assert list(tensor.shape) == list(summary['shape'])
    flat = tensor.detach().double().flatten().numpy()
    mean, std, norm = (float(summary[part]) for part in ('mean', 'std', 'l2'))
    assert abs(flat.mean() - mean) <= 2e-6 * std
    assert abs(flat.std() - std) <= 2e-6 * std
    assert abs(np.sqrt((flat**2).sum()) - norm) <= 2e-6 * norm
    root_mean_square = norm / np.sqrt(flat.size)
    assert np.abs(flat[summary['idx']] - summary['val']).max() <= val_tolerance * root_mean_square + 1e-6


def assert_matches_golden(tensor: Tensor, expected) -> None:
    """As :func:`assert_matches_summary` where a summary is all that is known, else :func:`assert_close_to_rms`."""
    if isinstance(expected, dict):
        assert_matches_summary(tensor, expected)
    else:
        assert_close_to_rms(tensor, expected)


def assert_close_to_rms(actual: Tensor, expected, relative: float = 5e-5, absolute: float = 1e-6) -> None:
    """Largest difference at most ``relative`` times the root mean square of ``expected``, plus ``absolute``."""
    actual = actual.detach().double().numpy()
    expected = np.asarray(expected, dtype=np.float64)
    assert actual.shape == expected.shape
    limit = relative * np.sqrt((expected**2).mean()) + absolute
    difference = np.abs(actual - expected).max()
    assert difference <= limit, f'differs by up to {difference:.2e}, {limit:.2e} is allowed'
