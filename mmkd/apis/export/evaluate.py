"""The metrics of the test set, of a model and of the file that was exported from it."""

from __future__ import annotations

import copy
import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.evaluator import Evaluator
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData, PixelData
from mmengine.utils import track_iter_progress

from mmkd.apis.inference.models import TorchModel
from mmkd.visualization.trained import build_test_dataset, spread_indices

from .runtime import OnnxModel, Prediction

__all__ = ['evaluate_both', 'largest_difference']


def evaluate_both(model: TorchModel, file: OnnxModel, number: int | None = None) -> tuple[dict, dict]:
    """Runs both over the test set of the config.

    Args:
        model: The model.
        file: The file.
        number: How many images, spread over the test set; None for all.

    Returns:
        The metrics of the model, and those of the file, in points of a hundred where they are shares.
    """
    cfg = model.cfg
    dataset = build_test_dataset(cfg)
    indices = spread_indices(dataset, number or len(dataset))
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmdet')):
        evaluators = [_evaluator(cfg, dataset.metainfo) for _ in range(2)]
        for index in track_iter_progress(indices):
            data = pseudo_collate([dataset[index]])
            with torch.no_grad():
                (sample,) = model.network.test_step(copy.deepcopy(data))
            image = cv2.imread(sample.img_path)
            ours = with_prediction(sample.cpu(), file.predict(image, colour='bgr'))
            for evaluator, given in zip(evaluators, (sample, ours), strict=True):
                evaluator.process([given], data)
        with redirect_stdout(io.StringIO()):  # of pycocotools
            return tuple(_points(evaluator.evaluate(len(indices))) for evaluator in evaluators)


def _evaluator(cfg: Config, metainfo: dict) -> Evaluator:
    metrics = copy.deepcopy(cfg.test_evaluator)
    evaluator = Evaluator(metrics if isinstance(metrics, Sequence) else [metrics])
    evaluator.dataset_meta = metainfo
    return evaluator


def with_prediction(sample: Any, found: Prediction) -> Any:
    """A copy of a data sample that has another prediction."""
    sample = copy.deepcopy(sample)
    if found.classes is not None:
        sample.pred_sem_seg = PixelData(data=torch.from_numpy(found.classes.astype(np.int64))[None])
    elif found.depth is not None:
        sample.pred_depth_map = PixelData(data=torch.from_numpy(found.depth)[None])
    else:
        fields = dict(bboxes=found.boxes, scores=found.scores, labels=found.labels)
        fields.update(masks=found.masks, mask_scores=found.mask_scores)
        arrays = {name: torch.from_numpy(value) for name, value in fields.items() if value is not None}
        sample.pred_instances = InstanceData(**arrays)
    return sample


def _points(metrics: dict) -> dict[str, float]:
    """Numbers only; shares as points of a hundred."""
    numbers = {name: float(value) for name, value in metrics.items() if isinstance(value, (int, float, np.number))}
    return {name: 100 * value if 0 <= value <= 1 else value for name, value in numbers.items()}


def largest_difference(expected: dict[str, float], given: dict[str, float]) -> tuple[str, float]:
    """The metric in which both differ most, and by how much."""
    differences = {name: abs(given[name] - value) for name, value in expected.items() if value == value}
    name = max(differences, key=differences.get)
    return name, differences[name]
