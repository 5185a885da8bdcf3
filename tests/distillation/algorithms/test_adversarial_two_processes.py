"""Adversarial distillation on two processes: the ranks stay equal, and train as one process would on both halves."""

import sys

import pytest
import torch
from helpers.adversarial_toys import build, images, optimizers, state
from helpers.two_processes import failures_of
from mmengine.model import MMDistributedDataParallel
from torch import distributed

from mmkd.engine.hooks.finite_loss_hook import FiniteLossHook, NonFiniteError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == 'win32', reason='gloo on one machine is tested on POSIX'),
]

EQUAL = [(1, 'wgan-gp'), (2, 'wgan-gp'), (1, 'hinge')]
LINEAR = dict(discriminator=dict(type='LinearDiscriminator'), mode='hinge', gradient_penalty=5)
CONNECTED = dict(
    pi=dict(taps='conv_seg', loss=dict(type='PixelWiseLoss')),
    feature=dict(taps='backbone', connector='conv1x1', loss=dict(type='FeatureMSELoss')),
)


def wrapped(algorithm):
    """As mmengine's runner wraps a model, with nothing in the config about it."""
    return MMDistributedDataParallel(algorithm, broadcast_buffers=False, find_unused_parameters=False)


def differing(algorithm, except_for=()):
    """The names of the tensors that are not the same on both ranks."""
    names = []
    for name, value in algorithm.state_dict().items():
        both = [torch.empty_like(value) for _ in range(2)]
        distributed.all_gather(both, value)
        if not torch.equal(*both) and not name.endswith(except_for):
            names.append(name)
    return names


def ranks_stay_equal(rank, accumulate, mode):
    # another seed on each rank: weights that nobody synchronises would differ
    algorithm = build(dict(mode=mode, gradient_penalty=10), seed=rank, distill=CONNECTED)
    model = wrapped(algorithm)
    wrapper = optimizers(model, accumulative_counts=accumulate)
    wrapper.initialize_count_status(model, 0, 5)
    discriminator = state(algorithm.discriminator)
    for step in range(5):
        log = model.train_step(images(seed=10 * step + rank), wrapper)
    assert any(name.startswith('discriminator') for name in log)
    # the student's batch norm statistics are each rank's own, as always in DDP
    own = ('backbone.1.running_mean', 'backbone.1.running_var')
    assert differing(algorithm, except_for=own) == []
    moved = [n for n, v in algorithm.discriminator.state_dict().items() if not torch.equal(v, discriminator[n])]
    assert any(name.endswith('original') for name in moved) and any(name.endswith('_u') for name in moved)


def without_the_ignore_list_they_do_not(rank):
    """What the list is for; if PyTorch changes so that this fails, the list may go."""
    algorithm = build(seed=rank, distill=CONNECTED)
    del algorithm._ddp_params_and_buffers_to_ignore
    model = wrapped(algorithm)
    wrapper = optimizers(model)
    try:
        for step in range(4):
            model.train_step(images(seed=10 * step + rank), wrapper)
    except RuntimeError:
        return
    assert differing(algorithm)


def they_train_as_one_process(rank, expected):
    algorithm = build(LINEAR)
    algorithm.student.backbone[1].eval()  # a batch norm over half of the batch is another function
    model = wrapped(algorithm)
    wrapper = optimizers(model)
    data = images(4)
    data['inputs'] = data['inputs'][2 * rank : 2 * rank + 2]
    for _ in range(2):
        model.train_step(data, wrapper)
    for name, value in algorithm.state_dict().items():
        torch.testing.assert_close(value, expected[name], msg=name)


def all_ranks_stop_together(rank):
    class Runner:
        iter, max_iters, hooks, work_dir = 6, 10, [], '.'
        model = build()

    loss = torch.tensor(float('nan') if rank == 1 else 1.0)
    with pytest.raises(NonFiniteError, match='iteration 7: discriminator.loss_gp is not finite on rank 1'):
        FiniteLossHook().after_train_iter(Runner, 0, outputs={'discriminator.loss_gp': loss})


@pytest.fixture(scope='module')
def failures(tmp_path_factory):
    """What went wrong in each check, by its name; empty where nothing did."""
    checks = {f'equal {accumulate} {mode}': (ranks_stay_equal, (accumulate, mode)) for accumulate, mode in EQUAL}
    one_process = build(LINEAR)
    one_process.student.backbone[1].eval()
    wrapper = optimizers(one_process)
    for _ in range(2):
        one_process.train_step(images(4), wrapper)
    checks['as one'] = (they_train_as_one_process, (state(one_process),))
    checks['stop'] = (all_ranks_stop_together, ())
    checks['ignore list'] = (without_the_ignore_list_they_do_not, ())
    return failures_of(checks, tmp_path_factory.mktemp('ranks'))


@pytest.mark.parametrize(('accumulate', 'mode'), EQUAL)
def test_ranks_stay_equal_with_spectral_norm_penalty_and_connectors(failures, accumulate, mode):
    assert not failures[f'equal {accumulate} {mode}']


def test_two_processes_train_as_one(failures):
    assert not failures['as one']


def test_all_ranks_stop_together_when_one_has_no_number(failures):
    assert not failures['stop']


def test_without_the_ignore_list_the_ranks_do_not_stay_equal(failures):
    assert not failures['ignore list']
