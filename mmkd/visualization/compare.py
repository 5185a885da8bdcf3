"""Predictions of several models on the same test images, side by side with the ground truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate

from .side_by_side import draw_classes, draw_depth, draw_instances, save_side_by_side
from .trained import build_network, build_test_dataset, load_network, spread

__all__ = ['ComparedModel', 'compare_models']


@dataclass
class ComparedModel:
    """One column of the comparison.

    Attributes:
        title: What stands above the column.
        cfg: The config of the model; of a distillation config, the student counts.
        checkpoint: A full or a student-only checkpoint.
    """

    title: str
    cfg: Config
    checkpoint: str


def compare_models(
    models: Sequence[ComparedModel],
    folder: str | Path,
    number: int = 8,
    score_thr: float = 0.5,
    device: str = 'cpu',
) -> list[Path]:
    """Draws the predictions of segmentation, instance segmentation or depth models.

    Every model sees the images through its own ``test_dataloader.dataset``; these must be of the same images in the
    same order. Which kind of picture it is follows from what the models predict.

    Args:
        models: From left to right.
        folder: Where the pictures go.
        number: How many images, spread evenly over the test set.
        score_thr: Instances with a higher score are drawn.
        device: Where the models run.

    Returns:
        The files, one an image.

    Raises:
        ValueError: No models were given, a checkpoint does not fit, or the data sets differ.
    """
    if not models:
        raise ValueError('models: none were given')
    columns = [list(_predict(model, number, device)) for model in models]
    files = []
    for samples in zip(*columns, strict=True):
        paths = [sample.img_path for sample in samples]
        if any(Path(path).name != Path(paths[0]).name for path in paths):
            raise ValueError(f'test_dataloader.dataset: the models have different images, {paths[0]} and {paths[-1]}')
        image = _read_rgb(paths[0])
        depths = _depth_range(samples)
        panels = [('image', image), *_truth(samples[0], image, depths)]
        titles = [model.title for model in models]
        panels += [
            (title, _draw_prediction(sample, image, score_thr, depths))
            for title, sample in zip(titles, samples, strict=True)
        ]
        files.append(Path(folder, f'{Path(paths[0]).stem}.png'))
        save_side_by_side(panels, files[-1])
    return files


def _predict(model: ComparedModel, number: int, device: str) -> Iterator:
    """The data samples, with predictions, of images spread over the test set."""
    network = load_network(build_network(model.cfg), model.checkpoint, device)
    dataset = build_test_dataset(model.cfg)
    for item in spread(dataset, number):
        with torch.no_grad():
            (sample,) = network.test_step(pseudo_collate([item]))
        sample = sample.cpu()
        sample.set_metainfo(dict(palette=dataset.metainfo.get('palette')))
        yield sample


def _read_rgb(path: str) -> np.ndarray:
    import mmcv

    return mmcv.imread(path, channel_order='rgb')


def _depth_range(samples: Sequence) -> tuple[float, float]:
    """The nearest and the farthest depth of a row, so that its pictures have the same colours for the same depths.

    They are those of the true depth, if it is known, but for the outermost hundredths.
    """
    if 'pred_depth_map' not in samples[0]:
        return 1.0, 2.0
    maps = [samples[0].gt_depth_map] if 'gt_depth_map' in samples[0] else [sample.pred_depth_map for sample in samples]
    depths = np.concatenate([one.data.numpy().ravel() for one in maps])
    near, far = np.percentile(depths[depths > 0], [1, 99]) if (depths > 0).any() else (1.0, 2.0)
    return float(near), float(max(far, 1.01 * near))


def _truth(sample, image: np.ndarray, depths: tuple[float, float]) -> list[tuple[str, np.ndarray]]:
    """The panel of the labels, where the test pipeline loads them at the image's size."""
    if 'gt_depth_map' in sample and tuple(sample.gt_depth_map.shape) == image.shape[:2]:
        return [('depth', draw_depth(sample.gt_depth_map.data[0].numpy(), *depths))]
    if 'gt_sem_seg' not in sample or tuple(sample.gt_sem_seg.shape) != image.shape[:2]:
        return []
    return [('labels', draw_classes(image, sample.gt_sem_seg.data[0].numpy(), sample.palette, alpha=1.0))]


def _draw_prediction(sample, image: np.ndarray, score_thr: float, depths: tuple[float, float]) -> np.ndarray:
    if 'pred_depth_map' in sample:
        return draw_depth(sample.pred_depth_map.data[0].numpy(), *depths)
    if 'pred_sem_seg' in sample:
        return draw_classes(image, sample.pred_sem_seg.data[0].numpy(), sample.palette, alpha=1.0)
    instances = sample.pred_instances
    masks = instances.masks[instances.scores > score_thr]
    return draw_instances(image, masks.numpy().astype(bool))
