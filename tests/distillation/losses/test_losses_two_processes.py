"""Training on two processes with half of the batch each gives the loss and the gradient of one with all of it."""

import socket
import sys

import pytest
import torch
from helpers.loss_tester import draw
from torch import distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from mmkd.distillation.losses import (
    ChannelWiseDivergence,
    FeatureMSELoss,
    LocalizationDistillationLoss,
    LogitStandardized,
    MGDLoss,
    PairWiseLoss,
    PixelWiseLoss,
)

LOSSES = dict(
    pixel=PixelWiseLoss(temperature=2.0, activation='softmax'),
    pixel_sigmoid=PixelWiseLoss(activation='sigmoid'),
    pair=PairWiseLoss(),
    pair_full=PairWiseLoss(pool=None, method='gram'),
    pair_near=PairWiseLoss(pool='avg', node_size=2, connection_radius=1),
    mse=FeatureMSELoss(normalize='pixel'),
    channel=ChannelWiseDivergence(temperature=4.0),
    mgd=MGDLoss(),
    standardized=LogitStandardized(PixelWiseLoss(activation='softmax'), temperature=2.0),
    localization=LocalizationDistillationLoss(),
)


def step(images, teacher, world_size):
    """``{loss name: (value, gradient)}`` of one convolution taught by ``teacher``."""
    results = {}
    for name, loss in LOSSES.items():
        torch.manual_seed(0)
        student = net = nn.Conv2d(3, 8, 3, padding=1)
        if world_size > 1:
            net = DistributedDataParallel(student)
        value = loss(net(images), teacher)
        value.backward()
        value = value.detach()
        if world_size > 1:
            distributed.all_reduce(value)
            value /= world_size
        results[name] = (value, student.weight.grad)
    return results


def worker(rank, world_size, port, images, teacher, expected):
    torch.set_num_threads(1)
    distributed.init_process_group('gloo', f'tcp://127.0.0.1:{port}', rank=rank, world_size=world_size)
    try:
        actual = step(images.chunk(world_size)[rank], teacher.chunk(world_size)[rank], world_size)
        for name in expected:
            for what, a, e in zip(('value', 'gradient'), actual[name], expected[name], strict=True):
                torch.testing.assert_close(
                    a, e, rtol=1e-5, atol=1e-6, msg=lambda m, name=name, what=what: f'{name}, {what}: {m}'
                )
    finally:
        distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == 'win32', reason='gloo on one machine is tested on POSIX')
def test_two_processes_give_the_mean_of_one():
    images, teacher = draw((4, 3, 9, 8), (4, 8, 9, 8))
    expected = step(images, teacher, world_size=1)
    assert all(gradient.abs().max() > 0 for _, gradient in expected.values())
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    multiprocessing.spawn(worker, (2, port, images, teacher, expected), nprocs=2)
