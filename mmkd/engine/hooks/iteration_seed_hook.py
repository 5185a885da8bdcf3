"""Random numbers and batches of the training process that a resumed run goes on with."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from mmkd.registry import HOOKS
from mmkd.utils.seeding import seed_generators

__all__ = ['IterationSeedHook']


@HOOKS.register_module()
class IterationSeedHook(Hook):
    """Draws the random numbers of each iteration (dropout, masks, samples of boxes) from (seed, iteration).

    A run that is resumed then goes on as if it had never ended, whatever was drawn before, and on any number of
    processes; no states of generators need be saved. As everywhere in mmengine, the processes draw the same numbers
    unless ``randomness.diff_rank_seed`` is set. The augmentation of the images is
    :class:`mmkd.datasets.SeededSampler`'s.

    An epoch that was broken off after a checkpoint of an iteration goes on behind the batches it has seen, as
    mmengine's iteration-based loop does. (Its epoch-based loop begins the epoch again, and ends with too many
    iterations.)

    Every training with mmkd's tools, or of ``DenseDistill``, has this hook.
    """

    priority = 'HIGHEST'  # before any other hook draws a number, and before RuntimeInfoHook writes over max_iters

    def before_train(self, runner: Runner) -> None:
        """Looks whether the run goes on in the middle of an epoch."""
        loop = runner.train_loop
        if not isinstance(loop, EpochBasedTrainLoop):
            return
        before = runner.message_hub.runtime_info  # of the checkpoint, if there is one
        seen = runner.iter - runner.epoch * len(loop.dataloader)
        if seen > 0 and before.get('max_iters') == before.get('max_epochs', 0) * len(loop.dataloader):
            runner.logger.info(f'Epoch {runner.epoch + 1} goes on behind its first {seen} batches')
            loop.dataloader = _Rest(loop.dataloader, seen)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        """Seeds the generators."""
        seed_generators(runner.seed, runner.iter)

    def after_train_epoch(self, runner: Runner) -> None:
        """Brings the whole data loader back."""
        if isinstance(runner.train_loop.dataloader, _Rest):
            runner.train_loop.dataloader = runner.train_loop.dataloader.loader


class _Rest:
    """A data loader without its first batches. They are loaded, for a batch sampler may depend on what it has seen."""

    def __init__(self, loader, first: int):
        self.loader = loader
        self.first = first

    def __iter__(self) -> Iterator:
        return islice(self.loader, self.first, None)

    def __len__(self) -> int:
        return len(self.loader)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)
