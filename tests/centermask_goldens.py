"""The golden files of CenterMask2, and the shipped models they belong to.

More files of the same kind are found in the folders that the environment variable ``MMKD_GOLDENS`` lists (separated as
in ``PATH``): other models (``C_infer_V-39-eSE_im2.npz`` is CenterMask V-39 on the second image) and the second image
itself, which the training goldens need in full.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from golden import GOLDENS, golden_keys, golden_state_dict
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmkd.registry import MODELS

CONFIGS = Path(__file__).parents[1] / 'configs' / 'centermask'
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
def golden_model(model: str):
    """The detector of the shipped config with the golden weights, in eval mode, through the converter."""
    config = Config.fromfile(config_path(model))
    config.model.backbone.init_cfg = None
    with DefaultScope.overwrite_default_scope('mmdet'):
        detector = MODELS.build(config.model)
    state = convert(golden_state_dict(golden_keys(f'centermask2-{model}')), detector)
    detector.load_state_dict(state, strict=True)
    return detector.eval()


def convert(state: dict, detector) -> dict:
    out = {}
    for name, value in state.items():
        for old, new in _RULES:
            name, n = re.subn(old, new, name)
            if n:
                break
        name = name.replace('TOWERNORM', '')
        m = re.match(r'bbox_head\.(cls|reg)_convs\.(\d+)\.(weight|bias)$', name)
        if m:
            i = int(m[2])
            name = f'bbox_head.{m[1]}_convs.{i // 3}.{"conv" if i % 3 == 0 else "gn"}.{m[3]}'
        m = re.match(r'roi_head\.(mask_head\.convs|mask_iou_head\.convs|mask_iou_head\.fcs)\.(\d+)(.*)$', name)
        if m:
            name = f'roi_head.{m[1]}.{int(m[2]) - 1}{m[3]}'
        if 'scales' in name:
            value = value.reshape(())
        out[name] = value
    for key in detector.state_dict():
        if key.endswith('num_batches_tracked'):
            out[key] = torch.tensor(0)
    return out


_RULES = [
    (r'^backbone\.bottom_up\.', 'backbone.'),
    (r'^backbone\.fpn_lateral(\d)', lambda m: f'neck.lateral_convs.{int(m[1]) - 3}.conv'),
    (r'^backbone\.fpn_output(\d)', lambda m: f'neck.fpn_convs.{int(m[1]) - 3}.conv'),
    (r'^backbone\.top_block\.p(\d)', lambda m: f'neck.fpn_convs.{int(m[1]) - 3}.conv'),
    (r'^proposal_generator\.fcos_head\.cls_tower', 'bbox_head.cls_convs'),
    (r'^proposal_generator\.fcos_head\.bbox_tower', 'bbox_head.reg_convs'),
    (r'^proposal_generator\.fcos_head\.cls_logits', 'bbox_head.conv_cls'),
    (r'^proposal_generator\.fcos_head\.bbox_pred', 'bbox_head.conv_reg'),
    (r'^proposal_generator\.fcos_head\.ctrness', 'bbox_head.conv_centerness'),
    (r'^proposal_generator\.fcos_head\.scales', 'bbox_head.scales'),
    (r'^roi_heads\.mask_head\.mask_fcn(\d)\.', r'roi_head.mask_head.convs.\1.conv.'),
    (r'^roi_heads\.mask_head\.spatialAtt', 'roi_head.mask_head.spatial_attention'),
    (r'^roi_heads\.mask_head\.deconv', 'roi_head.mask_head.upsample'),
    (r'^roi_heads\.mask_head\.predictor', 'roi_head.mask_head.conv_logits'),
    (r'^roi_heads\.maskiou_head\.maskiou_fcn(\d)', r'roi_head.mask_iou_head.convs.\1'),
    (r'^roi_heads\.maskiou_head\.maskiou_fc(\d)', r'roi_head.mask_iou_head.fcs.\1'),
    (r'^roi_heads\.maskiou_head\.maskiou', 'roi_head.mask_iou_head.fc_mask_iou'),
]


def original_names(model: str) -> dict[str, str]:
    """``{name in the original checkpoint: name in our detector}``, found by converting tensors that count up."""
    keys = golden_keys(f'centermask2-{model}')
    numbered = {key: torch.full(shape, float(i)) for i, (key, shape) in enumerate(keys.items())}
    converted = convert(numbered, golden_model(model))
    by_number = {
        value.flatten()[0].item(): key for key, value in converted.items() if not key.endswith('num_batches_tracked')
    }
    return {key: by_number[i] for i, key in enumerate(keys)}


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
