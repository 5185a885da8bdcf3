"""Random numbers of the training process that a resumed run repeats."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import Runner

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

    Every training with mmkd's tools, or of ``DenseDistill``, has this hook.
    """

    priority = 'HIGHEST'  # before any other hook draws a number

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        """Seeds the generators."""
        seed_generators(runner.seed, runner.iter)
