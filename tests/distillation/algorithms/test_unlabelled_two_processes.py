"""Images with and without labels on two processes: either all of them have the same kinds in a batch, or all stop."""

import sys

import pytest
import torch
from helpers.distillation_toys import ToyDetector, batch, toy
from helpers.two_processes import failures_of
from mmengine.dist import all_reduce
from mmengine.model import MMDistributedDataParallel
from mmengine.structures import BaseDataElement

from mmkd.datasets import UnlabelledDataset
from mmkd.distillation.algorithms import DenseDistill
from mmkd.registry import MODELS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == 'win32', reason='gloo on one machine is tested on POSIX'),
]

MIXED, LABELLED, UNLABELLED = (True, False), (True, True), (False, False)


@MODELS.register_module()
class AveragingDetector(ToyDetector):
    """Its loss has a denominator over all processes, as those of mmdet's detectors."""

    def forward(self, inputs, data_samples=None, mode='tensor'):
        output = super().forward(inputs, data_samples, mode)
        if mode == 'loss':
            number = torch.tensor(float(len(inputs)))
            all_reduce(number, 'mean')
            output['loss_aux'] = output['loss_aux'] / number
        return output


def build():
    torch.manual_seed(0)
    return MMDistributedDataParallel(
        DenseDistill(
            student=dict(toy(channels=4, out_channels=6, dropout=0.0), type='mmkd.AveragingDetector'),
            teacher=dict(toy(channels=4, out_channels=6), allow_random=True),
            distill=dict(fpn=dict(taps='neck', loss=dict(type='FeatureMSELoss'))),
            dry_run=dict(size=(32, 32)),
        )
    )


def step(model, marks):
    samples = [BaseDataElement(metainfo={} if labelled else dict(unlabelled=True)) for labelled in marks]
    losses = model(batch(images=len(marks)), samples, mode='loss')
    model.module.parse_losses(losses)[0].backward()
    return losses


def all_train(rank, marks):
    UnlabelledDataset([])
    losses = step(build(), marks)
    assert 'distill.loss_fpn' in losses


def all_stop(rank, marks):
    UnlabelledDataset([])
    with pytest.raises(ValueError) as error:
        step(build(), marks[rank])
    for part in ('rank 0', 'rank 1', 'with labels', 'without', 'mmkd.FixedRatioSampler', 'source_ratio'):
        assert part in str(error.value), str(error.value)


def marks_of_another_kind_are_refused(rank):
    """Nobody has told the other process to compare."""
    if rank == 0:
        with pytest.raises(ValueError, match='mmkd.UnlabelledDataset'):
            build().module(batch(), [BaseDataElement(metainfo=dict(unlabelled=True)) for _ in range(2)], mode='loss')
    else:
        build()


CHECKS = {
    'mixed': (all_train, MIXED),
    'unlabelled': (all_train, UNLABELLED),
    'labelled': (all_train, LABELLED),
    'mixed and labelled': (all_stop, (MIXED, LABELLED)),
    'unlabelled and labelled': (all_stop, (UNLABELLED, LABELLED)),
    'mixed and unlabelled': (all_stop, (MIXED, UNLABELLED)),
    'unknown': (marks_of_another_kind_are_refused,),
}


@pytest.fixture(scope='module')
def failures(tmp_path_factory):
    """What went wrong in each check, by its name; empty where nothing did."""
    checks = {name: (check, arguments) for name, (check, *arguments) in CHECKS.items()}
    return failures_of(checks, tmp_path_factory.mktemp('ranks'))


@pytest.mark.parametrize('kinds', ['mixed', 'unlabelled', 'labelled'])
def test_processes_with_the_same_kinds_train(failures, kinds):
    assert not failures[kinds]


@pytest.mark.parametrize('kinds', ['mixed and labelled', 'unlabelled and labelled', 'mixed and unlabelled'])
def test_processes_with_different_kinds_all_stop_and_name_the_remedy(failures, kinds):
    """Otherwise one computes a loss over both while the other computes none: a mismatch, or an endless wait."""
    assert not failures[kinds]


def test_marks_that_no_data_set_has_announced_are_refused(failures):
    assert not failures['unknown']
