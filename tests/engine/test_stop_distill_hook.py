"""Distillation stops at an epoch or an iteration, in loops of either kind."""

import pytest
import torch
from helpers.distillation_runs import run_config, scalars
from mmengine.registry import HOOKS as ROOT_HOOKS
from mmengine.runner import Runner

from mmkd.compat import import_mmrazor
from mmkd.engine.hooks import StopDistillHook
from mmkd.registry import HOOKS

EPOCHS = dict(by_epoch=True, max_epochs=2, val_interval=1)
ITERATIONS = dict(by_epoch=False, max_iters=6, val_interval=6)  # three are an epoch


def run(teacher, hook, loop, **options):
    if 'max_iters' in loop:
        options.update(default_hooks=dict(checkpoint=dict(by_epoch=False, interval=3)))
        options.update(log_processor=dict(by_epoch=False))
    config = run_config('run', teacher, custom_hooks=[hook], **options)
    config.train_cfg = loop
    return Runner.from_cfg(config)


@pytest.mark.parametrize('loop', [EPOCHS, ITERATIONS], ids=['epochs', 'iterations'])
@pytest.mark.parametrize(
    'name, stop, last',
    [
        ('mmrazor.StopDistillHook', dict(stop_epoch=1), 3),  # the name in configs of mmrazor
        ('mmkd.StopDistillHook', dict(stop_epoch=1), 3),
        ('mmkd.StopDistillHook', dict(stop_iter=4), 4),
        ('mmkd.StopDistillHook', dict(stop_iter=0), 0),
    ],
)
def test_it_stops_in_both_kinds_of_loops(teacher, name, stop, last, loop):
    runner = run(teacher, dict(type=name, **stop), loop)
    taught = []
    learn = runner.model.teacher.run
    runner.model.teacher.run = lambda *args: taught.append(runner.iter) or learn(*args)
    runner.train()
    values = scalars(runner, 'train/distill.loss_fpn')
    assert [bool(value > 0) for value in values] == [i < last for i in range(6)]
    assert taught == [0, *range(last)]  # the check before training, and the steps
    assert runner.model.distillation_stopped


@pytest.mark.parametrize('loop', [EPOCHS, ITERATIONS], ids=['epochs', 'iterations'])
def test_a_run_resumed_after_it_does_not_start_again(teacher, loop):
    hook = dict(type='mmkd.StopDistillHook', stop_iter=3)
    half = dict(max_epochs=1) if loop is EPOCHS else dict(max_iters=3, val_interval=3)
    run(teacher, hook, {**loop, **half}).train()
    resumed = run(teacher, hook, loop, resume=True)
    resumed.train()
    assert resumed.iter == 6
    assert scalars(resumed, 'train/distill.loss_fpn')[-3:] == [0, 0, 0]


def test_mmrazors_name_means_this_one():
    import_mmrazor()
    assert HOOKS.get('mmrazor.StopDistillHook') is StopDistillHook
    assert ROOT_HOOKS.get('mmrazor.StopDistillHook') is StopDistillHook


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(), 'stop_epoch, stop_iter: one of the two was expected, got none'),
        (dict(stop_epoch=1, stop_iter=2), 'stop_epoch, stop_iter: one of the two was expected, got both'),
        (dict(stop_iter=-1), 'StopDistillHook.stop_iter: a number of iterations, from 0, was expected, got -1'),
        (dict(stop_epoch='1'), "StopDistillHook.stop_epoch: a number of epochs, from 0, was expected, got '1'"),
        (dict(stop_epoch=float('nan')), 'StopDistillHook.stop_epoch: .*nan'),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        StopDistillHook(**options)


def test_a_model_that_distils_nothing_is_refused():
    class OfARunner:
        model = torch.nn.Linear(1, 1)

    with pytest.raises(ValueError, match='StopDistillHook: .*Linear'):
        StopDistillHook(stop_iter=1).before_train(OfARunner())
