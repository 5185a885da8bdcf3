"""A teacher that runs as in training draws no random numbers of the run, and leaves the data samples alone."""

import random

import numpy as np
import pytest
import torch
from helpers.distillation_toys import ToyDetector, batch, toy
from mmengine.logging import MessageHub
from mmengine.structures import BaseDataElement, InstanceData

from mmkd.distillation.algorithms import DenseDistill
from mmkd.registry import MODELS


@MODELS.register_module()
class SamplingDetector(ToyDetector):
    """Samples as a RoI head does in training, by all three generators, and writes into the ground truth."""

    def __init__(self, **kwargs):
        super().__init__(channels=4, out_channels=6, dropout=0.0, **kwargs)
        self.drawn = []

    def forward(self, inputs, data_samples=None, mode='tensor'):
        if mode == 'loss':
            self.drawn.append((random.random(), float(np.random.rand()), torch.rand(1).item()))
            for sample in data_samples:
                sample.gt_instances.labels.zero_()
                sample.gt_instances.bboxes = sample.gt_instances.bboxes * 0
                sample.set_metainfo(dict(touched=True))
        return super().forward(inputs, data_samples, mode)


def build(mode='loss'):
    torch.manual_seed(0)
    return DenseDistill(
        student=toy(channels=4, out_channels=6, dropout=0.0),
        teacher=dict(type='mmkd.SamplingDetector', mode=mode, allow_random=True),
        distill=dict(fpn=dict(taps='neck', loss=dict(type='FeatureMSELoss'))),
        dry_run=dict(size=(32, 32)),
    )


def samples():
    def instances():
        return InstanceData(labels=torch.tensor([1, 2]), bboxes=torch.ones(2, 4))

    return [BaseDataElement(metainfo=dict(img_shape=(32, 48)), gt_instances=instances()) for _ in range(2)]


def draw():
    return random.random(), np.random.rand(), torch.rand(1).item()


def seed(number=3):
    random.seed(number), np.random.seed(number), torch.manual_seed(number)


def test_no_random_numbers_of_the_run_are_drawn():
    algorithm = build()
    algorithm.prepare()
    seed()
    expected = draw()
    seed()
    algorithm(batch(), samples(), mode='loss')
    assert len(algorithm.teacher.model.drawn) == 1
    assert draw() == expected


def test_what_it_draws_is_of_the_seed_and_the_iteration_so_that_a_resumed_run_draws_the_same():
    def of_iterations(*iterations, number=3):
        algorithm = build()
        algorithm.prepare()
        for iteration in iterations:
            seed(number)
            MessageHub.get_instance('run').update_info('iter', iteration)
            algorithm(batch(), samples(), mode='loss')
        return algorithm.teacher.model.drawn

    whole = of_iterations(4, 5, 6)
    assert len({*whole}) == 3
    assert of_iterations(5, 6) == whole[1:]
    assert of_iterations(5, number=4) != whole[1:2]


@pytest.mark.parametrize('mode', ['loss', 'tensor'])
def test_the_data_samples_are_as_they_were(mode):
    algorithm, given = build(mode), samples()
    algorithm(batch(), given, mode='loss')
    for sample in given:
        assert sample.gt_instances.labels.tolist() == [1, 2]
        assert sample.gt_instances.bboxes.tolist() == torch.ones(2, 4).tolist()
        assert 'touched' not in sample.metainfo
