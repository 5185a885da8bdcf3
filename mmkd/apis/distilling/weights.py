"""Weights of distillation losses from their gradients: how hard each pulls at the student, next to its own task."""

from __future__ import annotations

import copy
import itertools
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine import dist
from mmengine.config import Config
from torch import nn

from mmkd.apis import launch
from mmkd.engine.hooks.gradient_share_hook import TASK, gradients_of_terms
from mmkd.utils.errors import UserError
from mmkd.utils.unwrap import unwrapped

__all__ = ['measured_weights']

BATCHES = 4
AGREED = 1e6  # the task pulls so many times harder: the student does what the teacher does, to rounding


def measured_weights(cfg: Config, share: float) -> dict[str, float]:
    """The weight of each loss of a config with which its gradient has a set size.

    With them the gradients of the distillation losses, in the layers that a loss and the task both reach, have together
    ``share`` times the norm of the task's; each of n losses has an n-th of it. It is the median over the first batches.

    Args:
        cfg: A training config of a ``DenseDistill`` in the short form.
        share: The share.

    Returns:
        The weights by the names of the terms, to three digits; those of terms without a gradient worth the name, where
        the student agrees with the teacher already, as they are.

    Raises:
        UserError: The student has no gradient of its task.
    """
    with tempfile.TemporaryDirectory() as folder:
        cfg = copy.deepcopy(cfg)
        # mmengine keeps visualizers by name, with the folder they write to
        name = f'weights_{Path(folder).name}'
        cfg.update(work_dir=folder, experiment_name=name, visualizer=dict(type='mmengine.Visualizer', name=name))
        cfg.log_level = 'WARNING'
        runner = launch.build_runner(cfg)
        model = unwrapped(runner.model)
        runner._init_model_weights()
        launch.prepare_model(runner)
        if cfg.get('load_from'):
            runner.load_or_resume()
        loader = runner.build_dataloader(runner._train_dataloader, seed=runner.seed)
        model.train()
        ratios = [_ratios(model, batch) for batch in itertools.islice(loader, BATCHES)]
    weights = {}
    for name, entry in cfg.model.distill.items():
        before = float(entry.loss.get('loss_weight', entry.loss.get('weight', 1.0)))
        measured = [found[name] for found in ratios if found.get(name)]
        factor = torch.tensor(float(np.median(measured)) if measured else 0.0)
        dist.all_reduce(factor, 'mean')  # the same on all processes
        weights[name] = (
            float(f'{before * share * float(factor) / len(cfg.model.distill):.3g}') if factor > 0 else before
        )
    return weights


def _ratios(model: nn.Module, batch: Any) -> dict[str, float]:
    """For each term, the norm of the task's gradient over that of the term's, where both have one."""
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    parameters = [parameter for parameter in model.student.parameters() if parameter.requires_grad]
    gradients = gradients_of_terms(losses, parameters)
    if TASK not in gradients:
        raise UserError('distill: the student has no loss of its own on the first batches to weigh the others by')
    names = {f'distill.{key}': title.removeprefix('distill.') for key, title in model.distiller.names.items()}
    task, found = gradients[TASK], {}
    for key, name in names.items():
        terms = [value for term, value in gradients.items() if term == key or term.startswith(f'{key}_')]
        shared = [
            (sum(g.double() for g in ours if g is not None), theirs.double())
            for *ours, theirs in zip(*terms, task, strict=True)
            if theirs is not None and any(g is not None for g in ours)
        ]
        norms = [sum(float(pair[side].square().sum()) for pair in shared) ** 0.5 for side in (0, 1)]
        if all(np.isfinite(norms)) and 0 < norms[1] < AGREED * norms[0]:
            found[name] = norms[1] / norms[0]
    return found


def apply_weights(distill: Mapping[str, dict], weights: Mapping[str, float]) -> None:
    """Writes weights into the entries of the short form."""
    for name, weight in weights.items():
        loss = distill[name]['loss']
        loss['weight' if 'weight' in loss and 'loss_weight' not in loss else 'loss_weight'] = weight
