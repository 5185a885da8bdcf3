"""Distillations write for TensorBoard where it is installed."""

from pathlib import Path

import pytest
from helpers.distillation_runs import run_config, save_teacher, teacher, train  # noqa: F401


def events_of(work_dir):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (path,) = Path(work_dir).glob('*/vis_data')
    events = EventAccumulator(str(path))
    events.Reload()
    return events


def files_of(work_dir):
    return list(Path(work_dir).glob('*/vis_data/events.out.tfevents*'))


def test_losses_rates_shares_and_scores_are_there_at_their_iteration(teacher):  # noqa: F811
    pytest.importorskip('tensorboard')
    loop = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=4, val_interval=2)
    config = run_config('run', teacher, train_dataloader=dict(sampler=dict(type='InfiniteSampler', _delete_=True)))
    config.train_cfg = {key: value for key, value in loop.items() if key != '_delete_'}
    train(config)
    events = events_of('run')
    tags = events.Tags()['scalars']
    assert {'loss', 'lr', 'student.loss_cls', 'distill.loss_fpn', 'distill.loss_cls', 'grad_share/task', 'acc'} <= set(
        tags
    )
    assert [event.step for event in events.Scalars('loss')] == [1, 2, 3, 4]
    assert [event.step for event in events.Scalars('acc')] == [2, 4]  # mmengine alone would have 0 and 0


def test_it_is_left_out_where_it_is_not_installed_or_not_wanted(teacher, monkeypatch):  # noqa: F811
    train(run_config('unwanted', teacher, epochs=1, tensorboard=False))
    assert not files_of('unwanted')
    found = __import__('importlib').util.find_spec
    monkeypatch.setattr('importlib.util.find_spec', lambda name, *a: None if name == 'tensorboard' else found(name, *a))
    train(run_config('absent', teacher, epochs=1))
    assert not files_of('absent')


def test_a_backend_of_the_config_is_not_doubled(teacher):  # noqa: F811
    pytest.importorskip('tensorboard')
    backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
    train(run_config('run', teacher, epochs=1, visualizer=dict(type='Visualizer', vis_backends=backends)))
    assert len(files_of('run')) == 1
