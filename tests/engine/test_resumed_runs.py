"""A run that is resumed ends as one that was never broken off, to the last bit."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.distillation_runs import train
from helpers.resumable_runs import differences, resumable, state_of
from mmengine.runner import Runner


@pytest.mark.parametrize(
    ('by_epoch', 'workers'),
    [
        (False, 0),
        (True, 0),
        pytest.param(False, 2, marks=pytest.mark.slow),
        pytest.param(True, 2, marks=pytest.mark.slow),
    ],
)
def test_a_resumed_run_ends_as_an_unbroken_one(tmp_path, monkeypatch, by_epoch, workers):
    monkeypatch.chdir(tmp_path)
    name = 'epoch_{}.pth' if by_epoch else 'iter_{}.pth'
    train(resumable('whole', by_epoch, workers, length=4))
    expected = state_of(f'whole/{name.format(4)}')

    part = resumable('part', by_epoch, workers, length=4)
    runner = Runner.from_cfg(part)
    stop_at(runner, 2)
    with pytest.raises(Stopped):
        runner.train()
    torch.manual_seed(99), np.random.seed(99), random.seed(99)  # the next process begins with other states
    train(resumable('part', by_epoch, workers, length=4, resume=True))

    assert differences(state_of(f'part/{name.format(4)}'), expected) == []
    assert sorted(path.name for path in Path('part').glob('*.pth')) == [name.format(4), name.format('4_student')]


@pytest.mark.parametrize('number', [2, 5, 6])  # in the first epoch of five iterations, at its end, in the second
def test_an_epoch_goes_on_behind_the_batches_it_has_seen(tmp_path, monkeypatch, number):
    """Checkpoints of iterations in a run of epochs."""
    monkeypatch.chdir(tmp_path)

    def config(work_dir, **options):
        run = resumable(work_dir, by_epoch=True, length=2, **options)
        run.default_hooks.checkpoint.by_epoch = False
        return run

    train(config('whole'))
    runner = Runner.from_cfg(config('part'))
    stop_at(runner, number)
    with pytest.raises(Stopped):
        runner.train()
    resumed = train(config('part', resume=True))
    assert resumed.iter == 10
    assert differences(state_of('part/iter_10.pth'), state_of('whole/iter_10.pth')) == []


class Stopped(BaseException):
    """Not an Exception, so that nobody handles it."""


def stop_at(runner, number):
    """Has the run end in the middle of its iteration or epoch after the checkpoint of that number."""
    save, saved = runner.save_checkpoint, []

    def count(*args, **kwargs):
        save(*args, **kwargs)
        saved.append(args)

    runner.save_checkpoint = count
    step = runner.model.train_step

    def train_step(*args, **kwargs):
        if len(saved) >= number:
            raise Stopped
        return step(*args, **kwargs)

    runner.model.train_step = train_step


def test_the_unbroken_runs_do_depend_on_the_noise(tmp_path, monkeypatch):
    """Otherwise nothing above would show that it comes back."""
    monkeypatch.chdir(tmp_path)
    train(resumable('one', length=2))
    monkeypatch.setattr('mmkd.datasets.seeded_sampler.get_rank', lambda: 1)
    train(resumable('other', length=2))
    assert len(differences(state_of('one/iter_2.pth'), state_of('other/iter_2.pth'))) > 10
