"""Stops a run whose losses or weights are no longer numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from mmengine.dist import all_gather_object, all_reduce, get_rank, get_world_size
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner
from torch import Tensor

from mmkd.registry import HOOKS
from mmkd.utils.errors import RunError
from mmkd.utils.unwrap import unwrapped

__all__ = ['FiniteLossHook', 'NonFiniteError']


class NonFiniteError(RunError, RuntimeError):
    """A loss or a weight is infinite or not a number. The tools show it as one line."""


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stops the run at the first loss that is infinite or not a number, and never lets such weights be saved.

    Adversarial training is known to end like this, often hours before anyone looks. The message names the terms (the
    discriminator's are called ``discriminator.loss_...``), the iteration and the last checkpoint. All processes stop
    together. A gradient may fail before any loss does, so the weights are looked at again before each checkpoint is
    written: the last one on disk is good.

    Args:
        interval: Look at the losses every so many iterations. Each look waits for the device, as logging does, and in a
            distributed run for the other processes.
    """

    priority = 'HIGHEST'  # before anything is logged, averaged, removed or saved

    def __init__(self, interval: int = 1):
        self.interval = interval
        self._training = False

    def before_train(self, runner: Runner) -> None:
        """Begins the watch."""
        self._training = True

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Looks at the weights whenever anyone saves them.

        Raises:
            NonFiniteError: One of them is not finite; nothing was written.
        """
        bad = next(_not_finite(checkpoint['state_dict']), None) if self._training else None
        if bad is not None:  # no talk with other processes here: only one saves
            self._stop(runner, runner.iter, f'{bad} is not finite, no checkpoint was written')

    def after_train(self, runner: Runner) -> None:
        """Ends the watch: a validation later on is none of it."""
        self._training = False

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch=None, outputs: Mapping[str, Tensor] | None = None
    ) -> None:
        """Looks at everything called a loss in the log of this iteration; at the weights, if they are to be saved.

        Raises:
            NonFiniteError: One of them is not finite, on any process.
        """
        if self.every_n_train_iters(runner, self.interval) or self.is_last_train_iter(runner):
            losses = {name: _number(value) for name, value in (outputs or {}).items() if 'loss' in name}
            bad = [name for name, value in losses.items() if not math.isfinite(value)]
            causes = [name for name in bad if name != 'loss'] or bad  # 'loss' is their sum
            shown = ', '.join(f'{name} {value:.4g}' for name, value in losses.items())
            self._stop_together(runner, runner.iter + 1, causes, f' (the losses were {shown})')
        if self._is_to_be_saved(runner):
            self._check_weights(runner, runner.iter + 1)

    def after_train_epoch(self, runner: Runner) -> None:
        """Looks at the weights.

        Raises:
            NonFiniteError: One of them is not finite, on any process.
        """
        self._check_weights(runner, runner.iter)

    def before_val_epoch(self, runner: Runner) -> None:
        """Looks at the weights, if this is a validation in the course of training: the best ones are saved after it.

        Raises:
            NonFiniteError: One of them is not finite, on any process.
        """
        if self._training:
            self._check_weights(runner, runner.iter)

    def _is_to_be_saved(self, runner: Runner) -> bool:
        # all processes stop here together; when one is about to write, the others no longer wait for it
        hooks = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook) and not hook.by_epoch]
        return self.is_last_train_iter(runner) or any(self.every_n_train_iters(runner, h.interval) for h in hooks)

    def _check_weights(self, runner: Runner, iteration: int) -> None:
        self._stop_together(runner, iteration, list(_not_finite(unwrapped(runner.model).state_dict())), '')

    def _stop_together(self, runner: Runner, iteration: int, bad: list[str], details: str) -> None:
        """Stops every process if ``bad`` has names on one of them."""
        found = torch.tensor(len(bad))
        all_reduce(found)
        if not found:
            return
        reports = [report for report in all_gather_object((get_rank(), bad, details)) if report[1]]
        rank, names, details = reports[0]
        more = f' and {len(names) - 3} more' if len(names) > 3 else ''
        where = f' on rank {rank}' if get_world_size() > 1 else ''
        verb = 'is' if len(names) == 1 else 'are'
        self._stop(runner, iteration, f'{", ".join(names[:3])}{more} {verb} not finite{where}{details}')

    @staticmethod
    def _stop(runner: Runner, iteration: int, message: str) -> None:
        pointer = Path(runner.work_dir, 'last_checkpoint')
        last = f'The last checkpoint is {pointer.read_text()}.' if pointer.is_file() else 'There is no checkpoint yet.'
        raise NonFiniteError(f'iteration {iteration}: {message}; training was stopped. {last}')


def _number(value: Tensor | float) -> float:
    return value.item() if isinstance(value, Tensor) else float(value)


def _not_finite(state_dict: Mapping[str, Tensor]) -> Iterator[str]:
    """The names of what is not finite."""
    for name, value in state_dict.items():
        if isinstance(value, Tensor) and value.is_floating_point() and not torch.isfinite(value).all():
            yield name
