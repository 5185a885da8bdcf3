"""The share of each loss in the gradient, and that measuring it changes nothing."""

import json
from pathlib import Path

import pytest
import torch
from helpers.distillation_runs import run_config, save_teacher, teacher, train  # noqa: F401

from mmkd.engine.hooks.gradient_share_hook import gradient_shares


def test_shares_and_cosines_are_those_of_gradients_worked_out_by_hand():
    w = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    other = torch.nn.Parameter(torch.tensor([5.0]))  # a connector: no part of the student
    losses = {
        'student.loss_a': 3 * w[0],  # together (3, 1)
        'student.loss_b': [w[1].reshape(1), 0 * w[1]],
        'student.acc': torch.tensor(9.0),  # no loss
        'distill.loss_x': 2 * w[1] * other.sum(),  # (0, 10)
        'distill.loss_y': -6 * w[0],  # (-6, 0)
        'distill.loss_off': torch.tensor(0.0),  # not at this iteration
    }
    found = gradient_shares(losses, [w])
    norm = 10**0.5
    total = norm + 10 + 6
    assert found == pytest.approx(
        {
            'grad_share/task': norm / total,
            'grad_share/distill.loss_x': 10 / total,
            'grad_share/distill.loss_y': 6 / total,
            'grad_cosine/distill.loss_x': 1 / norm,
            'grad_cosine/distill.loss_y': -3 / norm,
        }
    )
    assert w.grad is None
    sum(loss for name, loss in losses.items() if name in ('student.loss_a', 'distill.loss_x')).backward()  # not freed


def scalars_of(work_dir):
    (path,) = Path(work_dir).glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in path.read_text().splitlines()]


def measured(interval):
    return dict(custom_hooks=[dict(type='mmkd.GradientShareHook', interval=interval)])


def test_it_is_measured_at_the_first_iteration_and_at_every_interval_and_changes_no_weight(teacher):  # noqa: F811
    watched = train(run_config('watched', teacher, **measured(2)))
    plain = train(run_config('plain', teacher, **measured(0)))
    records = [record for record in scalars_of('watched') if 'grad_share/task' in record]
    assert [record['step'] for record in records] == [1, 2, 4, 6]
    for record in records:
        shares = {key: value for key, value in record.items() if key.startswith('grad_share/')}
        assert set(shares) == {'grad_share/task', 'grad_share/distill.loss_fpn', 'grad_share/distill.loss_cls'}
        assert sum(shares.values()) == pytest.approx(1) and min(shares.values()) > 0
        assert -1 <= record['grad_cosine/distill.loss_fpn'] <= 1
    assert not any('grad_share/task' in record for record in scalars_of('plain'))
    for name, value in plain.model.state_dict().items():
        assert torch.equal(value, watched.model.state_dict()[name]), name


def test_every_distillation_has_it(teacher):  # noqa: F811
    train(run_config('run', teacher, epochs=1))
    assert any('grad_share/task' in record for record in scalars_of('run'))


def test_a_network_that_cannot_go_backward_twice_is_told_once_and_trained(teacher, monkeypatch, caplog):  # noqa: F811
    def refused(*args, **kwargs):
        raise RuntimeError('Checkpointing is not compatible with .grad()\nmore of it')

    monkeypatch.setattr('torch.autograd.grad', refused)
    runner = train(run_config('run', teacher, **measured(1)))
    (log,) = Path('run').glob('*/*.log')
    assert log.read_text().count('the share of each loss is not measured: Checkpointing is not compatible') == 1
    assert runner.iter == 6
