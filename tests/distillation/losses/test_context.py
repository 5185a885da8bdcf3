"""A loss says by the names in its forward what it gets."""

import pytest
import torch
from torch import nn

from mmkd.distillation.losses import FGDLoss, LogitStandardized, LossContext, PKDLoss
from mmkd.distillation.losses.context import FIELDS, asked_for, takes_all_levels


class Asking(nn.Module):
    def forward(self, preds_S, preds_T, iteration, student, data_samples=None, mask=None):
        return preds_S


CONTEXT = LossContext(student=nn.Identity(), images=torch.zeros(1), iteration=3, data_samples=['sample'])


def test_it_gets_what_it_names_and_nothing_else():
    found = CONTEXT.arguments(Asking())
    assert found == dict(iteration=3, student=CONTEXT.student, data_samples=['sample'])
    assert CONTEXT.arguments(PKDLoss()) == {}


def test_what_the_config_gives_goes_first():
    assert set(CONTEXT.arguments(Asking(), given=['student', 'preds_S'])) == {'iteration', 'data_samples'}


def test_what_it_can_do_without_is_left_out_and_what_not_is_an_error():
    assert 'data_samples' not in LossContext(student=CONTEXT.student, iteration=0).arguments(Asking())
    with pytest.raises(ValueError, match='Asking needs iteration, and there are none'):
        LossContext(student=CONTEXT.student).arguments(Asking())


def test_a_loss_around_another_asks_for_what_that_one_asks_for():
    wrapped = LogitStandardized(loss=FGDLoss(global_weight=0))
    assert list(asked_for(wrapped)) == ['preds_S', 'preds_T', 'data_samples']
    assert takes_all_levels(wrapped) and CONTEXT.arguments(wrapped) == dict(data_samples=['sample'])
    assert not takes_all_levels(LogitStandardized(loss=Asking()))


def test_all_that_can_be_asked_for():
    assert FIELDS == ('student', 'teacher', 'images', 'data_samples', 'iteration', 'discriminator')
