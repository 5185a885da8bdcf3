"""Curves of losses and scores from the logs that mmengine's LocalVisBackend leaves in a work dir."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

__all__ = ['logged_keys', 'plot_losses', 'plot_scalars', 'read_scalars', 'split_losses']


def read_scalars(work_dir: str | Path, key: str = 'loss') -> list[dict]:
    """Reads the records of all runs in a work dir that have a value for ``key``, in order of their step.

    A resumed run continues in a second file; where both have a step the later one counts. mmengine gives scores step
    0 where training goes by iterations: they get that of the training record before them.

    Args:
        work_dir: The folder given to ``tools/train.py --work-dir``.
        key: What to look for: ``loss`` finds the records of training, a score those of validation.

    Returns:
        One dict a record, with at least ``key`` and ``step``; empty if nothing was trained there.
    """
    records = {}
    for path in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        trained = 0
        for record in _lines(path):
            if 'loss' in record:
                trained = record['step']
            if key in record:
                step = record['step'] or trained
                records[step] = {**record, 'step': step}
    return [records[step] for step in sorted(records)]


def logged_keys(work_dir: str | Path) -> list[str]:
    """The names of all numbers in the logs of a work dir, in the order in which they come up."""
    keys: dict[str, None] = {}
    for path in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        for record in _lines(path):
            keys.update(dict.fromkeys(key for key, value in record.items() if isinstance(value, (int, float))))
    return [key for key in keys if key not in ('step', 'iter', 'epoch')]


def _lines(path: Path) -> Iterator[dict]:
    for line in path.read_text().splitlines():
        record = json.loads(line)
        if 'step' in record:
            yield record


def split_losses(record: Mapping[str, float]) -> tuple[dict[str, float], dict[str, float]]:
    """Returns the task losses and the distillation losses of one record, under plain names.

    In a run with a teacher the names begin with ``student.`` and ``distill.``; in a plain one they have no prefix.
    """
    task, distill = {}, {}
    for key, value in record.items():
        prefix, _, name = key.rpartition('.')
        if key == 'loss' or 'loss' not in key or not isinstance(value, (int, float)):
            continue
        (distill if prefix.startswith('distill') else task)[name] = value
    return task, distill


def plot_losses(runs: Mapping[str, str | Path], path: str | Path) -> None:
    """Draws the sum of the task losses of each run on the left, every distillation loss on the right.

    Args:
        runs: Name to work dir; those without records are left out.
        path: The picture to write; its folder is made.

    Raises:
        ValueError: None of the runs has a record.
    """
    logs = {name: read_scalars(work_dir) for name, work_dir in runs.items()}
    logs = {name: records for name, records in logs.items() if records}
    if not logs:
        raise ValueError(f'no training records in {", ".join(str(v) for v in runs.values())}')

    figure, (left, right) = _panels(2, width=6.5, height=4.5)
    for name, records in logs.items():
        steps = [record['step'] for record in records]
        parts = [split_losses(record) for record in records]
        _draw(left, steps, [sum(task.values()) for task, _ in parts], name)
        for loss in sorted({key for _, distill in parts for key in distill}):
            _draw(right, steps, [distill.get(loss, np.nan) for _, distill in parts], f'{name}: {loss}')
    for axis, title in ((left, 'task losses, summed'), (right, 'distillation losses, as weighted')):
        axis.set_title(title)
        axis.set_xlabel('iteration')
        axis.set_ylabel('loss')
        axis.grid(alpha=0.3)
        if axis.has_data():
            axis.legend()
            axis.set_ylim(bottom=0)
    _save(figure, path)


def plot_scalars(runs: Mapping[str, str | Path], keys: Sequence[str], path: str | Path, columns: int = 1) -> None:
    """Draws how losses and scores went on, a panel for each key and a line for each run.

    Args:
        runs: Name to work dir; those without a record of a key are left out of its panel.
        keys: Names as in the log: ``loss_mask``, ``coco/segm_mAP``.
        path: The picture to write; its folder is made.
        columns: How many panels the picture is wide at least, so that several have one scale.

    Raises:
        ValueError: No run has a record of a key.
    """
    figure, axes = _panels(max(len(keys), columns), width=5, height=4)
    for axis in axes[len(keys) :]:
        axis.set_axis_off()
    for axis, key in zip(axes, keys, strict=False):
        for name, work_dir in runs.items():
            records = read_scalars(work_dir, key)
            if records:
                steps = [record['step'] for record in records]
                axis.plot(steps, [record[key] for record in records], marker='o' if len(steps) < 30 else '', label=name)
        if not axis.has_data():
            raise ValueError(f'no record of {key} in {", ".join(map(str, runs.values()))}')
        axis.set_title(key)
        axis.set_xlabel('iteration')
        axis.grid(alpha=0.3)
        axis.legend()
    _save(figure, path)


def _panels(number: int, width: float, height: float) -> tuple:
    """A figure that needs no screen, and its axes side by side."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * number, height))
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, number, squeeze=False)[0]


def _save(figure, path: str | Path) -> None:
    figure.tight_layout()
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _draw(axis, steps, values, label: str) -> None:
    (line,) = axis.plot(steps, values, alpha=0.25)
    axis.plot(steps, _smooth(values), color=line.get_color(), label=label)


def _smooth(values, weight: float = 0.6) -> np.ndarray:
    """Exponential moving average with the bias of its start taken out."""
    smoothed, average, total = [], 0.0, 0.0
    for value in values:
        average = weight * average + (1 - weight) * value
        total = weight * total + (1 - weight)
        smoothed.append(average / total)
    return np.array(smoothed)
