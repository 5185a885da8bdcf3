"""Taps of several modules, taps of methods, connectors for some levels, and losses that begin later."""

import pytest
import torch
from helpers.distillation_runs import run_config, scalars, train
from helpers.distillation_toys import batch, toy
from mmengine.logging import MessageHub
from torch import nn
from torch.nn import functional as F

from mmkd.distillation.algorithms import DenseDistill
from mmkd.distillation.losses import fsp_loss, pixel_wise_loss
from mmkd.registry import MODELS

STUDENT = toy(channels=4, out_channels=6, dropout=0.0)
SAME = dict(student=STUDENT, teacher=dict(STUDENT, allow_random=True))
WIDER = dict(student=STUDENT, teacher=dict(toy(channels=8, out_channels=6), allow_random=True))
TAPS = ['backbone.conv', 'backbone', dict(source='neck', data_idx=2)]


def build(distill, dry_run=True, **options):
    torch.manual_seed(0)
    return DenseDistill(distill=distill, dry_run=dict(size=(32, 32)) if dry_run else False, **options)


def features_of(model, inputs):
    first = model.backbone.conv(inputs)
    last = model.backbone(inputs)
    return [first, last, model.neck(last)[2]]


def both(algorithm):
    return [features_of(model, batch()) for model in (algorithm.student, algorithm.teacher.model)]


# ---- several modules -------------------------------------------------------------------------------------------------


def test_a_list_of_taps_are_levels():
    algorithm = build(dict(mse=dict(taps=TAPS, loss=dict(type='FeatureMSELoss'))), **SAME)
    loss = algorithm(batch(), mode='loss')['distill.loss_mse']
    expected = torch.stack([F.mse_loss(s, t) for s, t in zip(*both(algorithm), strict=True)]).mean()
    torch.testing.assert_close(loss, expected)


def test_a_loss_that_takes_levels_gets_all_of_them_in_order():
    algorithm = build(dict(fsp=dict(taps=TAPS, loss=dict(type='FSPLoss'))), **SAME)
    loss = algorithm(batch(), mode='loss')['distill.loss_fsp']
    torch.testing.assert_close(loss, fsp_loss(*both(algorithm)))


def test_intermediate_losses_teach_the_student():
    """In CenterMask_KD the features were computed without a graph, so that these losses were constants in the log."""
    distill = dict(
        fsp=dict(taps=TAPS, loss=dict(type='FSPLoss')), mse=dict(taps=TAPS, loss=dict(type='FeatureMSELoss'))
    )
    algorithm = build(distill, calculate_student_loss=False, **SAME)
    losses = algorithm.train()(batch(), mode='loss')
    weight = algorithm.student.backbone.conv.weight
    for name in ('distill.loss_fsp', 'distill.loss_mse'):
        (gradient,) = torch.autograd.grad(losses[name], weight, retain_graph=True)
        assert gradient.abs().max() > 0
    assert not any(p.requires_grad for p in algorithm.teacher.model.parameters())


def test_connectors_may_be_given_to_some_levels_only():
    taps, connectors = ['backbone', 'neck.convs.0'], ['conv1x1', None]
    algorithm = build(dict(mse=dict(taps=taps, connector=connectors, loss=dict(type='FeatureMSELoss'))), **WIDER)
    first, second = algorithm.distiller.connectors['mse'].levels
    assert first.conv.weight.shape[:2] == (8, 4) and isinstance(second, nn.Identity)
    algorithm.train()(batch(), mode='loss')['distill.loss_mse'].backward()
    assert first.conv.weight.grad.abs().max() > 0


def test_the_teacher_runs_until_the_last_of_several_taps():
    algorithm = build(dict(mse=dict(taps=TAPS, loss=dict(type='FeatureMSELoss'))), **SAME)
    teacher = algorithm.teacher.model
    before = teacher.after_head
    algorithm(batch(), mode='loss')
    assert teacher.after_head == before


@pytest.mark.parametrize(
    'entry, message',
    [
        (dict(taps=TAPS, levels=(0,)), 'levels and a list of taps were both given'),
        (dict(taps=[]), 'distill.x.taps: at least one was expected'),
        (dict(taps=dict(student=TAPS, teacher=TAPS[:2])), 'as many of the teacher as of the student'),
        (dict(taps='neck', connector=[3]), 'distill.x.connector: a name or a config was expected, got 3'),
        (dict(taps=TAPS, connector=['conv1x1']), 'connector: 1 were given, there are 3 levels'),
        (dict(taps='neck', start_iter=-1), 'distill.x.start_iter: a number of iterations was expected, got -1'),
        (
            dict(taps='neck', start_iter=3, end_iter=3),
            'distill.x.end_iter: a number of iterations above start_iter, 3, was expected, got 3',
        ),
    ],
)
def test_mistakes_are_named(entry, message):
    with pytest.raises(ValueError, match=message):
        build(dict(x=dict(loss=dict(type='FeatureMSELoss'), **entry)), dry_run=False, **SAME)


# ---- methods ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('side', ['student', 'teacher', 'both'])
def test_a_tap_may_be_a_method_of_a_module(side):
    """The toy's head is called as ``bbox_head.forward(...)``, past its hooks, where only outputs are asked for."""
    taps = dict.fromkeys(('student', 'teacher'), 'bbox_head.conv_cls')
    taps.update(dict.fromkeys(taps if side == 'both' else [side], 'bbox_head.forward'))
    algorithm = build(dict(cls=dict(taps=taps, loss=dict(type='PixelWiseLoss'))), **SAME)
    loss = algorithm(batch(), mode='loss')['distill.loss_cls']
    logits = [m.bbox_head.forward(m.neck(m.backbone(batch()))) for m in (algorithm.student, algorithm.teacher.model)]
    torch.testing.assert_close(loss, torch.stack([pixel_wise_loss(*pair) for pair in zip(*logits, strict=True)]).mean())


def test_a_tapped_method_is_its_own_again_afterwards_and_ends_the_teachers_forward():
    algorithm = build(dict(cls=dict(taps='bbox_head.forward', loss=dict(type='PixelWiseLoss'))), **SAME)
    teacher = algorithm.teacher.model
    before = teacher.after_head
    algorithm(batch(), mode='loss')
    assert teacher.after_head == before
    for model in (algorithm.student, teacher):
        assert 'forward' not in vars(model.bbox_head)


@pytest.mark.parametrize('tap', ['bbox_head.backward', dict(type='ModuleInputs', source='bbox_head.forward')])
def test_what_is_neither_a_module_nor_a_method_is_named(tap):
    with pytest.raises(ValueError, match=r"the student has no module 'bbox_head\.[a-z]+'"):
        build(dict(cls=dict(taps=tap, loss=dict(type='PixelWiseLoss'))), **SAME)


# ---- losses that begin later, or are several -------------------------------------------------------------------------

LATE = dict(mse=dict(taps='backbone', connector='conv1x1', start_iter=3, loss=dict(type='FeatureMSELoss')))


@pytest.mark.parametrize('iteration, counts', [(0, False), (2, False), (3, True), (7, True), (None, True)])
def test_a_loss_counts_from_its_iteration_on_and_depends_on_its_connector_before(iteration, counts):
    algorithm = build(LATE, **WIDER).train()
    hub = MessageHub.get_instance('run')
    if iteration is not None:
        hub.update_info('iter', iteration)
    loss = algorithm(batch(), mode='loss')['distill.loss_mse']
    assert bool(loss > 0) is counts
    loss.backward()
    gradient = algorithm.distiller.connectors['mse'].levels[0].conv.weight.grad
    assert gradient is not None and bool(gradient.abs().max() > 0) is counts


EARLY = dict(mse=dict(LATE['mse'], start_iter=1, end_iter=3))


@pytest.mark.parametrize('iteration, counts', [(0, False), (1, True), (2, True), (3, False), (7, False), (None, True)])
def test_a_loss_counts_until_its_last_iteration(iteration, counts):
    algorithm = build(EARLY, **WIDER).train()
    if iteration is not None:
        MessageHub.get_instance('run').update_info('iter', iteration)
    loss = algorithm(batch(), mode='loss')['distill.loss_mse']
    assert bool(loss > 0) is counts
    loss.backward()
    assert algorithm.distiller.connectors['mse'].levels[0].conv.weight.grad is not None


def test_a_loss_that_starts_later_does_so_in_a_run_and_in_a_resumed_one(teacher):
    distill = dict(fpn=dict(taps='neck', connector='conv1x1', loss=dict(type='FeatureMSELoss'), start_iter=4))
    whole = train(run_config('run', teacher, epochs=2, model=dict(distill=dict(_delete_=True, **distill))))  # 3 each
    values = scalars(whole, 'train/distill.loss_fpn')
    assert [bool(value > 0) for value in values] == [False] * 4 + [True] * 2
    options = dict(model=dict(distill=dict(_delete_=True, **distill)), load_from='run/epoch_1.pth', resume=True)
    resumed = train(run_config('resumed', teacher, epochs=2, **options))
    values = scalars(resumed, 'train/distill.loss_fpn')[-3:]  # of the second epoch
    assert [bool(value > 0) for value in values] == [False, True, True]


@MODELS.register_module()
class TwoLosses(nn.Module):
    """Two terms of all levels and both networks at once."""

    def forward(self, levels_S, levels_T, student, teacher):
        assert teacher.model is not student and not teacher.model.training
        return dict(first=levels_S[0].mean(), second=levels_S[1].mean() - levels_T[1].mean())


def test_a_loss_may_be_several_and_see_both_networks():
    algorithm = build(dict(two=dict(taps=TAPS, loss=dict(type='TwoLosses'))), **SAME)
    losses = algorithm(batch(), mode='loss')
    first, second = both(algorithm)[0][:2]
    torch.testing.assert_close(losses['distill.loss_two_first'], first.mean())
    torch.testing.assert_close(losses['distill.loss_two_second'], second.mean() - both(algorithm)[1][1].mean())
    assert 'distill.loss_two' not in losses
