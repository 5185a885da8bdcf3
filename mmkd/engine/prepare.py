"""What every training run of mmkd has, whatever its config says about hooks."""

from __future__ import annotations

import copy

from mmengine.hooks import LoggerHook
from mmengine.runner import Runner

from mmkd.registry import HOOKS
from mmkd.utils.resume import find_latest_checkpoint
from mmkd.utils.unwrap import unwrapped

from .hooks import DurableCheckpointHook
from .optimizers import with_distill_constructor
from .tensorboard import add_tensorboard

__all__ = ['prepare_runner']


def prepare_runner(runner: Runner) -> None:
    """Makes a run resumable, and gives it the hooks that its model asks for.

    Checkpoints are written by :class:`DurableCheckpointHook`; random numbers depend on the seed and the iteration alone
    (:class:`IterationSeedHook`, :class:`SeededSampler`); ``resume`` without a file takes the newest checkpoint that is
    whole. Every hook of ``model.runner_hooks`` that the config does not have is added; a model that has such hooks also
    writes for TensorBoard (:func:`add_tensorboard`), its scores at their iteration where training goes by iterations.
    One that holds a student and says so by ``model.optimizes_student`` gets its optimizer by
    :class:`DistillOptimWrapperConstructor`.

    mmkd's tools call this for each run. Where mmengine builds a runner for a model with ``runner_hooks``, such as
    ``DenseDistill`` in mmdet's own ``tools/train.py``, ``mmkd.compat`` does. A second call changes nothing.

    Args:
        runner: A runner whose training has not begun.

    Raises:
        FileNotFoundError: The run is to be resumed, and ``last_checkpoint`` names a file that is gone.
    """
    model = unwrapped(runner.model)
    for hook in (dict(type='mmkd.IterationSeedHook'), *getattr(model, 'runner_hooks', ())):
        if not any(isinstance(present, HOOKS.get(hook['type'])) for present in runner.hooks):
            runner.register_hook(dict(hook))
    if getattr(model, 'runner_hooks', ()):
        add_tensorboard(runner)
        _log_scores_by_iteration(runner)
    if getattr(model, 'optimizes_student', False):
        runner.optim_wrapper = with_distill_constructor(runner.optim_wrapper)
    DurableCheckpointHook.take_over(runner)
    _seed_samples(runner)
    if runner._resume and runner._load_from is None:
        runner._load_from = find_latest_checkpoint(runner.work_dir)


def _log_scores_by_iteration(runner: Runner) -> None:
    """mmengine logs scores at the epoch, by default: all of them at 0 where there are no epochs."""
    loop = runner._train_loop
    if isinstance(loop, dict) and ('Iter' in str(loop.get('type')) or loop.get('by_epoch') is False):
        for hook in runner.hooks:
            if isinstance(hook, LoggerHook):
                hook.log_metric_by_epoch = False


def _seed_samples(runner: Runner) -> None:
    loader = runner._train_dataloader
    sampler = loader.get('sampler') if isinstance(loader, dict) else None
    cache = getattr(getattr(unwrapped(runner.model), 'teacher', None), 'cache', None)
    views = None if cache is None else cache.views
    if isinstance(sampler, dict) and sampler.get('type') != 'mmkd.SeededSampler':
        loader = copy.copy(loader)  # the config, which is saved, stays as it was written
        loader['sampler'] = dict(type='mmkd.SeededSampler', sampler=sampler, draw_seed=runner.seed, views=views)
        runner._train_dataloader = loader
