"""A run that is no longer made of numbers stops, says why, and leaves the last good checkpoint."""

import math
from pathlib import Path

import pytest
import torch
from helpers.adversarial_toys import DISCRIMINATOR_SGD, adversarial, small_discriminator
from helpers.distillation_runs import run_config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from mmkd.engine.hooks.finite_loss_hook import NonFiniteError

GUARD = dict(type='mmkd.FiniteLossHook')


@HOOKS.register_module()
class Spoil(Hook):
    """Does something to the model before an iteration (the first is 0) or after it."""

    def __init__(self, what, iteration, after=False):
        self.what, self.iteration, self.after = what, iteration, after

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.iteration and not self.after:
            self.spoil(runner.model)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == self.iteration and self.after:
            self.spoil(runner.model)

    def spoil(self, model):
        with torch.no_grad():
            if self.what == 'discriminator':  # too large to be squared; the student's term is still finite
                model.discriminator.last.weight.fill_(1e25)
            elif self.what == 'student':
                model.student.conv_seg.bias[0] = math.nan


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Trains 8 iterations with a checkpoint each second; returns the message of the error that ended it, if any."""
    monkeypatch.chdir(tmp_path)

    def train(*hooks, expect=NonFiniteError, checkpoint=None, **options):
        model = adversarial(dict(discriminator=small_discriminator(base_channels=4, preprocess=None)))
        checkpoint = dict(dict(type='CheckpointHook', interval=2, by_epoch=False), **(checkpoint or {}))
        config = run_config(
            'run',
            {},
            model=dict(_delete_=True, **model),
            train_cfg=dict(_delete_=True, by_epoch=False, max_iters=8, val_interval=100),
            train_dataloader=dict(sampler=dict(type='InfiniteSampler')),
            optim_wrapper=dict(
                constructor='mmkd.DistillOptimWrapperConstructor', discriminator=dict(optimizer=DISCRIMINATOR_SGD)
            ),
            default_hooks=dict(checkpoint=checkpoint),
            custom_hooks=list(hooks),
        )
        config.merge_from_dict(options)
        runner = Runner.from_cfg(config)
        if expect is None:
            runner.train()
            return runner
        with pytest.raises(expect) as error:
            runner.train()
        return str(error.value)

    return train


def checkpoints():
    return sorted(path.name for path in Path('run').glob('*.pth') if 'student' not in path.name)


def finite(path):
    state = torch.load(path, weights_only=False)['state_dict']
    return all(torch.isfinite(value).all() for value in state.values() if value.is_floating_point())


def test_a_sound_run_ends_as_without_the_guard(run):
    run(GUARD, expect=None)
    assert checkpoints() == ['iter_2.pth', 'iter_4.pth', 'iter_6.pth', 'iter_8.pth']


def test_the_discriminators_loss_is_named_with_the_iteration_and_the_last_checkpoint(run):
    message = run(GUARD, dict(type='Spoil', what='discriminator', iteration=4))
    assert message.startswith('iteration 5: discriminator.loss_gp is not finite')
    assert 'discriminator.loss_gp inf' in message and 'student.loss_ce 0.' in message
    assert message.endswith(f'The last checkpoint is {Path("run/iter_4.pth").absolute()}.')
    assert checkpoints() == ['iter_2.pth', 'iter_4.pth'] and finite('run/iter_4.pth')


def test_the_students_losses_are_named_and_not_their_sum(run):
    message = run(GUARD, dict(type='Spoil', what='student', iteration=0))
    assert message.startswith('iteration 1: student.loss_ce, distill.loss_pi, distill.loss_holistic and 1 more are not')
    assert message.endswith('There is no checkpoint yet.')
    assert checkpoints() == []


@pytest.mark.parametrize('keep', [-1, 1])
def test_weights_are_checked_before_they_are_saved_and_the_good_checkpoint_stays(run, keep):
    # the losses of iteration 4 are finite, the weights after it are not
    spoil = dict(type='Spoil', what='student', iteration=3, after=True, priority='VERY_HIGH')
    message = run(spoil, dict(GUARD, priority='HIGH'), checkpoint=dict(max_keep_ckpts=keep))
    assert message.startswith('iteration 4: architecture.conv_seg.bias is not finite')
    assert message.endswith(f'The last checkpoint is {Path("run/iter_2.pth").absolute()}.')
    assert checkpoints() == ['iter_2.pth'] and finite('run/iter_2.pth')


def test_weights_are_checked_before_the_best_are_replaced(run):
    spoil = dict(type='Spoil', what='student', iteration=4, after=True)
    best = dict(interval=100, save_best='acc', rule='greater')
    message = run(GUARD, spoil, checkpoint=best, train_cfg=dict(val_interval=5))
    assert message.startswith('iteration 5: architecture.conv_seg.bias is not finite')
    assert checkpoints() == []


def test_whoever_saves_saves_no_bad_weights(run):
    @HOOKS.register_module(force=True)
    class SaveNow(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            runner.save_checkpoint(runner.work_dir, 'now.pth')

    message = run(
        GUARD, dict(type='Spoil', what='student', iteration=0, after=True, priority='HIGH'), dict(type='SaveNow')
    )
    assert 'architecture.conv_seg.bias is not finite, no checkpoint was written' in message
    assert checkpoints() == []


def test_an_interval_skips_iterations_but_not_the_last(run):
    spoil = dict(type='Spoil', what='discriminator', iteration=4)
    assert run(dict(GUARD, interval=3), spoil, checkpoint=dict(interval=100)).startswith('iteration 6: ')
    last = run(dict(GUARD, interval=100), spoil, checkpoint=dict(interval=100))
    assert last.startswith('iteration 8: ') and 'the losses were' in last  # and not only the weights


def test_without_the_guard_the_run_would_go_on(run, monkeypatch):
    monkeypatch.setattr('mmkd.distillation.algorithms.DenseDistill.runner_hooks', ())
    run(dict(type='Spoil', what='discriminator', iteration=4), expect=None)
    assert not finite('run/iter_6.pth')
