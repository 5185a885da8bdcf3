"""What ``runner.train()`` and ``runner.test()`` would build, built while a mistake is still one line."""

from __future__ import annotations

import numpy as np
from mmengine.runner import Runner

from mmkd.utils.errors import UserError

from .errors import user_errors
from .preflight.datasets import DatasetConfig, datasets_of, step_name

__all__ = ['build_testing', 'build_training']

LOOKED_AT = 16  # samples of each data set that are loaded before a run starts


def build_training(runner: Runner) -> None:
    """Builds data sets, loops, optimizers and schedules, in the order of ``Runner.train``, and loads some samples.

    From here on an image or a label that cannot be used is named, wherever it turns up: see
    :class:`mmkd.datasets.CheckedPipeline`.

    A runner of another kind, such as mmengine's ``FlexibleRunner``, builds all this when it trains.

    Raises:
        UserError: Something cannot be built, or a sample cannot be used.
    """
    if not isinstance(runner, Runner):
        return
    _build_loop(runner, 'train')
    with user_errors('optim_wrapper', runner.cfg):
        runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
        runner.scale_lr(runner.optim_wrapper, runner.auto_scale_lr)
        runner.auto_scale_lr = None  # done: Runner.train would scale once more
    if runner.param_schedulers is not None:
        with user_errors('param_scheduler', runner.cfg):
            runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
    if runner._val_loop is not None:
        _build_loop(runner, 'val')


def build_testing(runner: Runner) -> None:
    """Builds data set and loop of a test, and loads some samples; raises as :func:`build_training` does."""
    if isinstance(runner, Runner):
        _build_loop(runner, 'test')


def _build_loop(runner: Runner, name: str) -> None:
    loader = f'{name}_dataloader'
    config = getattr(runner, f'_{loader}')
    if isinstance(config, dict):
        for dataset in datasets_of({loader: config, 'default_scope': runner.cfg.get('default_scope')}, loader):
            _check_pipeline(dataset)
    with user_errors(loader, runner.cfg):
        loop = getattr(runner, f'{name}_loop')
    for dataset in _innermost(loop.dataloader.dataset):
        _look_at(dataset, loader)


def _check_pipeline(dataset: DatasetConfig) -> None:
    """Wraps the pipeline of a data set that is not built yet: its loader may start workers as soon as it is."""
    pipeline = dataset.cfg.get('pipeline')
    if not pipeline or step_name(pipeline[0]) == 'CheckedPipeline':
        return
    settings = dict(name=dataset.key)
    of_mmseg = dataset.argument('seg_map_suffix') is not None and dataset.argument('ignore_index') is not None
    if of_mmseg and dataset.labelled:
        settings.update(num_classes=len(dataset.names) if dataset.names else None)
        settings.update(ignore_index=dataset.argument('ignore_index'))
    dataset.cfg['pipeline'] = [dict(type='mmkd.CheckedPipeline', transforms=pipeline, **settings)]


def _innermost(dataset):
    parts = getattr(dataset, 'datasets', None) or [part for part in [getattr(dataset, 'dataset', None)] if part]
    if not parts:
        yield dataset
    for part in parts:
        yield from _innermost(part)


def _look_at(dataset, loader: str) -> None:
    """Loads samples spread over a data set, so that what is wrong with all of them is known now.

    Raises:
        UserError: A sample cannot be used, or no pixel of any label map has a class.
    """
    from mmkd.datasets import CheckedPipeline

    steps = getattr(getattr(dataset, 'pipeline', None), 'transforms', None) or []
    if not steps or not isinstance(steps[0], CheckedPipeline):
        return
    number = min(LOOKED_AT, len(dataset))
    samples = [steps[0].load(dataset.get_data_info(i * len(dataset) // number)) for i in range(number)]
    labels = [sample['gt_seg_map'] for sample in samples if sample is not None and 'gt_seg_map' in sample]
    if not labels or steps[0].num_classes is None:
        return
    ignored = (255, steps[0].ignore_index)
    if all(np.isin(label, ignored).all() for label in labels):
        raise UserError(
            f'{steps[0].name}: not one pixel of the {len(labels)} label maps looked at has a class; all are '
            f'{ignored[1]}, which stands for pixels without one'
        )
