"""What each class gains: the scores of several models class by class, as a chart and a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope

from .models import OpenModel

__all__ = ['class_scores', 'plot_gain']


def class_scores(model: OpenModel) -> tuple[str, dict[str, float]]:
    """Tests a model on all of its test data, and scores each class: IoU of label maps, AP of objects, in percent.

    Args:
        model: The model; its config has a ``test_evaluator``.

    Returns:
        The name of the score, and the score of each class; NaN of one that does not occur.

    Raises:
        ValueError: Its evaluator has no scores of classes.
    """
    from mmengine.registry import METRICS

    evaluator = model.cfg.test_evaluator
    settings = dict(evaluator[0] if isinstance(evaluator, list) else evaluator)
    is_map = settings['type'].endswith('IoUMetric')
    if not is_map and 'Coco' not in settings['type']:
        raise ValueError(f'test_evaluator: {settings["type"]} has no score of each class; IoU or COCO metrics have')
    if not is_map:
        kinds = settings.get('metric', 'bbox')
        kind = 'segm' if 'segm' in kinds else 'bbox'  # one at a time: both would have the same names
        settings.update(metric=kind, classwise=True)
    with DefaultScope.overwrite_default_scope(model.cfg.get('default_scope', 'mmdet')):
        metric = METRICS.build(settings)
    metric.dataset_meta = model.dataset.metainfo
    for index in range(len(model.dataset)):
        batch = pseudo_collate([model.dataset[index]])
        with torch.no_grad():
            metric.process(batch, [sample.to_dict() for sample in model.network.test_step(batch)])
    names = model.dataset.metainfo['classes']
    if is_map:
        intersect, union = (np.sum([result[i].numpy() for result in metric.results], axis=0) for i in (0, 1))
        with np.errstate(invalid='ignore'):
            return 'IoU', dict(zip(names, (100 * intersect / union).tolist(), strict=True))
    scores = {key.rpartition('/')[2]: value for key, value in metric.evaluate(len(model.dataset)).items()}
    # without a single detection there are no scores at all
    return f'{kind} AP', {name: 100 * float(scores.get(f'{name}_precision', 0.0)) for name in names}


def plot_gain(scores: Mapping[str, Mapping[str, float]], alone: str, taught: str, name: str, path: str | Path) -> None:
    """Draws how much better each class is with the teacher, the largest gain above; the teacher's lead as a mark.

    Args:
        scores: Of each model, those of its classes.
        alone: The model that is compared with.
        taught: The model that is compared.
        name: Of the score.
        path: The picture to write; its folder is made.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    gains = {key: scores[taught][key] - scores[alone][key] for key in scores[alone]}
    shown = sorted((key for key in gains if not np.isnan(gains[key])), key=gains.get)
    others = [title for title in scores if title not in (alone, taught)]
    figure = Figure(figsize=(7, 1.4 + 0.28 * len(shown)))
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    axis.barh(
        range(len(shown)), [gains[key] for key in shown], color=['C2' if gains[key] > 0 else 'C3' for key in shown]
    )
    for title, marker in zip(others, 'D^sv*', strict=False):
        leads = [scores[title][key] - scores[alone][key] for key in shown]
        axis.plot(leads, range(len(shown)), marker, color='0.2', markersize=5, label=title)
    axis.set_yticks(range(len(shown)), shown)
    axis.axvline(0, color='0.3', linewidth=0.8)
    axis.set_xlabel(f'{name}, points above {alone}')
    axis.set_title(f'{taught} against {alone}, class by class')
    axis.grid(axis='x', alpha=0.3)
    if others:
        axis.legend()
    figure.tight_layout()
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
