"""Whole training runs: resumed, averaged, stopped, distributed."""

import os
import socket

import pytest
import torch
from helpers.distillation_runs import run_config, scalars, train
from mmengine.runner import Runner
from torch import multiprocessing

from mmkd.apis.launch import finish, prepare_launch
from mmkd.utils.checkpoint import load_checkpoint_file

LOSSES = ('student.loss_cls', 'distill.loss_fpn', 'distill.loss_cls')


def weights(runner):
    return {key: value.clone() for key, value in runner.model.state_dict().items()}


def assert_same(one, other):
    assert one.keys() == other.keys()
    assert [key for key in one if not torch.equal(one[key], other[key])] == []


def test_training_lowers_the_distillation_losses(teacher):
    runner = train(run_config('run', teacher, epochs=8))
    for name in LOSSES[1:]:
        history = scalars(runner, f'train/{name}')
        assert history[-1] < history[0]


@pytest.mark.parametrize('hooks', [[], [dict(type='EMAHook', momentum=0.3)]], ids=['plain', 'moving average'])
def test_a_resumed_run_goes_on_as_if_it_had_not_been_interrupted(teacher, hooks):
    still = dict(custom_hooks=hooks, model=dict(student=dict(dropout=0.0)))  # dropout would draw other numbers
    straight = train(run_config('straight', teacher, epochs=3, **still))
    train(run_config('parts', teacher, epochs=2, **still))
    resumed = train(run_config('parts', teacher, epochs=3, resume=True, **still))
    assert_same(weights(resumed), weights(straight))
    for name in LOSSES:
        assert scalars(resumed, f'train/{name}')[-3:] == scalars(straight, f'train/{name}')[-3:]


def test_the_checkpoint_holds_student_and_connectors_and_no_teacher(teacher):
    train(run_config('run', teacher, epochs=1, custom_hooks=[dict(type='EMAHook')]))
    checkpoint = load_checkpoint_file('run/epoch_1.pth')
    assert {key.split('.')[0] for key in checkpoint['state_dict']} == {'architecture', 'distiller'}
    averaged = {key.split('.')[1] for key in checkpoint['ema_state_dict'] if '.' in key}
    assert averaged == {'architecture', 'distiller'}
    trained = sum(len(group['params']) for group in checkpoint['optimizer']['param_groups'])
    assert trained == 16 + 6  # tensors of the student, and of three connectors


def test_a_student_is_tested_without_the_teachers_file(teacher):
    score = scalars(train(run_config('run', teacher, epochs=1)), 'val/acc')[-1]
    os.remove(teacher['ckpt'])
    for name in ('epoch_1.pth', 'epoch_1_student.pth'):
        config = run_config('test', teacher, load_from=f'run/{name}')
        config.test_dataloader, config.test_evaluator, config.test_cfg = config.val_dataloader, config.val_evaluator, {}
        runner = Runner.from_cfg(config)
        assert runner.test()['acc'] == pytest.approx(score)
        assert not runner.model.teacher.built


def test_a_missing_teacher_file_stops_the_training_before_it_begins(teacher):
    os.remove(teacher['ckpt'])
    runner = Runner.from_cfg(run_config('run', teacher))
    with pytest.raises(FileNotFoundError, match='teacher.ckpt: .*teacher.pth'):
        runner.train()
    assert runner.iter == 0


def test_mmrazors_stop_hook_ends_the_distillation(teacher):
    stop = dict(type='mmrazor.StopDistillHook', stop_epoch=1)
    runner = Runner.from_cfg(run_config('run', teacher, custom_hooks=[stop]))
    runs = []
    run = runner.model.teacher.run
    runner.model.teacher.run = lambda *args: runs.append(runner.epoch) or run(*args)
    runner.train()
    assert runs.count(0) == 3 + 1 and 1 not in runs  # three steps, and the check before them
    assert scalars(runner, 'train/distill.loss_fpn')[3:] == [0, 0, 0]


def test_gradients_are_accumulated_as_without_a_teacher(teacher):
    runner = train(run_config('run', teacher, epochs=1, optim_wrapper=dict(accumulative_counts=3)))
    assert runner.iter == 3


# ---- two processes ---------------------------------------------------------------------------------------------------


def work(rank, port, teacher, options):
    """One of two processes."""
    torch.set_num_threads(1)
    for key, value in dict(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=2, MASTER_ADDR='127.0.0.1', MASTER_PORT=port).items():
        os.environ[key] = str(value)
    config = run_config('run', teacher, launcher='pytorch', **options)
    prepare_launch(config)
    config.randomness.diff_rank_seed = True  # connectors start apart, and must be brought together
    config.experiment_name = 'run'
    runner = train(config)
    parameters = {name: parameter.detach() for name, parameter in runner.model.module.named_parameters()}
    torch.save(dict(parameters=parameters, ddp=type(runner.model).__name__), f'rank{rank}.pth')
    finish()


def train_on_two(teacher, **options):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(work, (port, teacher, options), nprocs=2)
    return [torch.load(f'rank{rank}.pth') for rank in (0, 1)]


@pytest.mark.slow
def test_two_processes_end_with_the_same_weights(teacher):
    """Without find_unused_parameters, and when the distillation stops halfway, which leaves the connectors idle."""
    results = train_on_two(teacher, custom_hooks=[dict(type='mmrazor.StopDistillHook', stop_epoch=1)])
    assert all(result['ddp'] == 'MMDistributedDataParallel' for result in results)
    assert_same(*(result['parameters'] for result in results))
    assert 'distiller.connectors.fpn.levels.0.conv.weight' in results[0]['parameters']
    assert os.path.isfile('run/epoch_2_student.pth')
