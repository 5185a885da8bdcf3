"""What CenterMask with point representation makes its masks of: heatmap, local shapes, saliency, and their product."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from mmkd.utils.student import student_config

from .side_by_side import draw_instances, save_side_by_side
from .trained import build_network, build_test_dataset, load_network, spread

__all__ = ['draw_map', 'draw_point_masks', 'paste_shapes', 'save_point_masks']


def draw_map(image: np.ndarray, values: np.ndarray, alpha: float = 0.65) -> np.ndarray:
    """Lays a map of values over an image, from blue for 0 to red for 1.

    Args:
        image: (H, W, 3) uint8, RGB.
        values: (H, W) in [0, 1].
        alpha: How much the colours cover the image.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ValueError: The map is not of the image's size.
    """
    if values.shape != image.shape[:2]:
        raise ValueError(f'values: shape {values.shape} was given, {image.shape[:2]} was expected')
    colours = cv2.applyColorMap((values * 255).round().astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1]
    return cv2.addWeighted(image, 1 - alpha, np.ascontiguousarray(colours), alpha, 0)


def paste_shapes(shapes: np.ndarray, boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Each shape resized to its box; where several lie on top of each other, the largest value.

    Args:
        shapes: (n, S, S) in [0, 1].
        boxes: (n, 4) x1, y1, x2, y2 in pixels.
        height: Height of the image.
        width: Width of the image.

    Returns:
        (height, width) in [0, 1].
    """
    canvas = np.zeros((height, width), np.float32)
    for shape, (x1, y1, x2, y2) in zip(shapes, boxes, strict=True):
        scale_x, scale_y = shape.shape[1] / max(x2 - x1, 1e-6), shape.shape[0] / max(y2 - y1, 1e-6)
        left, top = max(int(np.floor(x1)), 0), max(int(np.floor(y1)), 0)
        right, bottom = min(int(np.ceil(x2)), width), min(int(np.ceil(y2)), height)
        if right <= left or bottom <= top:
            continue
        columns = np.clip((np.arange(left, right) + 0.5 - x1) * scale_x - 0.5, 0, shape.shape[1] - 1)
        rows = np.clip((np.arange(top, bottom) + 0.5 - y1) * scale_y - 0.5, 0, shape.shape[0] - 1)
        grid = np.meshgrid(columns.astype(np.float32), rows.astype(np.float32))
        pasted = cv2.remap(shape.astype(np.float32), *grid, interpolation=cv2.INTER_LINEAR)
        region = canvas[top:bottom, left:right]
        np.maximum(region, pasted, out=region)
    return canvas


def draw_point_masks(network: nn.Module, image: np.ndarray, data: dict, score_thr: float = 0.3) -> list[tuple]:
    """The panels of an image.

    Args:
        network: A :class:`~mmkd.models.detectors.PointCenterMask`, in eval mode.
        image: (H, W, 3) uint8, RGB.
        data: A batch of this one image, as the data loader gives it.
        score_thr: Objects with a higher score are drawn.

    Returns:
        Title and (H, W, 3) picture of each.
    """
    with torch.no_grad():
        batch = network.data_preprocessor(data, False)
        maps = network.predict_maps(batch['inputs'])
        meta = batch['data_samples'][0].metainfo
        (found,) = network.bbox_head.predict_by_feat(*maps, batch_img_metas=[meta], rescale=True)
    found = found[found.scores > score_thr]
    height, width = image.shape[:2]
    stride, (scale_x, scale_y) = network.bbox_head.stride, meta.get('scale_factor', (1.0, 1.0))
    rows, columns = found.cells.unbind(1)
    center = torch.stack([columns, rows], 1) + maps.offset[0, :, rows, columns].t()
    half = maps.size[0, :, rows, columns].t().clamp(min=0) / 2
    boxes = torch.cat([center - half, center + half], 1).cpu().numpy() * stride
    boxes /= np.array([scale_x, scale_y, scale_x, scale_y])
    side = network.bbox_head.shape_size
    shapes = maps.shape[0, :, rows, columns].t().reshape(-1, side, side).float().sigmoid().cpu().numpy()

    def whole(logits: Tensor) -> np.ndarray:
        values = logits.float().sigmoid().amax(0).cpu().numpy()
        values = cv2.resize(values, (values.shape[1] * stride, values.shape[0] * stride))
        values = values[: meta['img_shape'][0], : meta['img_shape'][1]]
        return cv2.resize(values, (width, height)).clip(0, 1)

    return [
        ('image', image),
        ('centre heatmap', draw_map(image, whole(maps.heatmap[0]))),
        ('local shapes', draw_map(image, paste_shapes(shapes, boxes, height, width))),
        ('global saliency', draw_map(image, whole(maps.saliency[0]))),
        ('masks', draw_instances(image, found.masks.cpu().numpy())),
    ]


def save_point_masks(
    cfg: Config,
    checkpoint: str,
    images: Sequence[str],
    folder: str | Path,
    number: int = 8,
    score_thr: float = 0.3,
    device: str = 'cpu',
) -> list[Path]:
    """Draws images, or some of the test set, in five panels each.

    Args:
        cfg: A config of the model; of a distillation config, the student counts.
        checkpoint: A full or a student-only checkpoint.
        images: Image files; with none, images spread evenly over the test set are taken.
        folder: Where the pictures go.
        number: How many of the test set.
        score_thr: Objects with a higher score are drawn.
        device: Where the model runs.

    Returns:
        The files, one an image.

    Raises:
        ValueError: The model is another one, the checkpoint does not fit, or an image cannot be read.
    """
    network = build_network(cfg)
    if not hasattr(network, 'predict_maps'):
        raise ValueError(f"model.type is {student_config(cfg.model)['type']!r}, expected 'mmkd.PointCenterMask'")
    load_network(network, checkpoint, device)
    if images:
        pipeline = [step for step in cfg.test_dataloader.dataset.pipeline if 'LoadAnnotations' not in step['type']]
        with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmdet')):
            read = Compose(pipeline)
        items = (read(dict(img_path=str(path), img_id=0)) for path in images)
    else:
        items = spread(build_test_dataset(cfg), number)
    files = []
    for item in items:
        path = Path(item['data_samples'].img_path)
        image = cv2.imread(str(path))
        data = dict(inputs=[item['inputs']], data_samples=[item['data_samples']])
        panels = draw_point_masks(network, image[..., ::-1].copy(), data, score_thr)
        files.append(Path(folder, f'{path.stem}.png'))
        save_side_by_side(panels, files[-1])
    return files
