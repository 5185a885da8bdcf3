"""How much of the student's gradient comes from each term of the loss."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn

from mmkd.registry import HOOKS
from mmkd.utils.unwrap import unwrapped

__all__ = ['TASK', 'GradientShareHook', 'gradient_shares', 'gradients_of_terms']

TASK = 'task'


@HOOKS.register_module()
class GradientShareHook(Hook):
    """Logs the share of each distillation loss, and of the task, in the gradient of the student.

    The size of a loss says little about its pull: a loss of 10 may move the student less than one of 0.1. Written are,
    at the first iteration and at every ``interval``-th,

    - ``grad_share/<term>``: the norm of the term's gradient over the sum of all terms' norms;
    - ``grad_cosine/<term>``: its cosine with the task's gradient. Below 0 it pulls against what the student is for.

    It costs a backward pass a term at each ``interval``-th iteration: with two terms two thirds of a step
    (CenterMask-Lite on a CPU), so less than one percent of the time. The step of these iterations is what it would be
    without the hook. In a run of several processes it is the gradient of the first one's images. Where a network cannot
    go backward twice (compiled, or with reentrant activation checkpointing), that is said once.

    Every run of ``DenseDistill`` has this hook. It need only be written into a config for another ``interval``.

    Args:
        interval: Iterations between two measurements; 0 for none.
    """

    priority = 'LOW'

    def __init__(self, interval: int = 100):
        self.interval = interval

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Prepares a measurement in this iteration."""
        model = unwrapped(runner.model)
        due = self.interval > 0 and (runner.iter == 0 or self.every_n_train_iters(runner, self.interval))
        if due and is_main_process() and isinstance(getattr(model, 'student', None), nn.Module):
            # the losses are in nobody's hands but here, between forward and backward
            model.parse_losses = partial(self._measure, runner, model, model.parse_losses)

    def _measure(self, runner: Runner, model: nn.Module, parse_losses: Callable, losses: Mapping[str, Any]) -> Any:
        del model.parse_losses  # the class's own is back
        parsed = parse_losses(losses)
        parameters = [parameter for parameter in model.student.parameters() if parameter.requires_grad]
        try:
            shares = gradient_shares(losses, parameters)
        except RuntimeError as error:
            self.interval = 0
            reason = str(error).splitlines()[0]
            runner.logger.log(logging.WARNING, f'GradientShareHook: the share of each loss is not measured: {reason}')
            return parsed
        if shares:
            runner.visualizer.add_scalars(shares, step=runner.iter + 1)
        return parsed


def gradient_shares(losses: Mapping[str, Any], parameters: list[nn.Parameter]) -> dict[str, float]:
    """The share of each term in the gradient, and its cosine with the task's.

    Args:
        losses: By their names in the log; those of distillation begin with ``distill.``.
        parameters: With respect to what.

    Returns:
        ``grad_share/<term>`` and ``grad_cosine/<term>``; empty without a gradient.
    """
    gradients = gradients_of_terms(losses, parameters)
    norms = {name: float(_dot(gradient, gradient) ** 0.5) for name, gradient in gradients.items()}
    total = sum(norms.values())
    if not total > 0:
        return {}
    found = {f'grad_share/{name}': norm / total for name, norm in norms.items()}
    for name, gradient in gradients.items():
        if name != TASK and norms[name] > 0 and norms.get(TASK, 0) > 0:
            found[f'grad_cosine/{name}'] = float(_dot(gradient, gradients[TASK])) / norms[name] / norms[TASK]
    return found


def gradients_of_terms(losses: Mapping[str, Any], parameters: list[nn.Parameter]) -> dict[str, list[Tensor | None]]:
    """The gradient of each distillation loss by its name in the log, and of all the task's as :data:`TASK`.

    A loss that needs no gradient is left out. Arguments as of :func:`gradient_shares`.
    """
    return {name: _gradient(loss, parameters) for name, loss in _terms(losses).items() if loss.requires_grad}


def _terms(losses: Mapping[str, Any]) -> dict[str, Tensor]:
    """The task's losses added up, and each of distillation."""
    terms: dict[str, Tensor] = {}
    for name, value in losses.items():
        if 'loss' not in name:  # as in mmengine, what is only logged
            continue
        term = name if name.startswith('distill.') else TASK
        loss = value.mean() if isinstance(value, Tensor) else sum(item.mean() for item in value)
        terms[term] = terms[term] + loss if term in terms else loss
    return terms


def _gradient(loss: Tensor, parameters: list[nn.Parameter]) -> list[Tensor | None]:
    return list(torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True))


def _dot(first: list[Tensor | None], second: list[Tensor | None]) -> Tensor:
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    return torch.stack([(a.double() * b.double()).sum() for a, b in pairs]).sum() if pairs else torch.zeros(())
