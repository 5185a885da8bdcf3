"""Logit standardisation as a wrapper."""

import copy
import pickle

import pytest
import torch
from helpers.loss_tester import assert_same, draw, mmrazor_losses, value_and_gradient

from mmkd.distillation.losses import (
    ChannelWiseDivergence,
    LogitStandardized,
    PixelWiseLoss,
    dist_loss,
    pixel_wise_loss,
    standardize_logits,
)
from mmkd.distillation.losses.context import asked_for, takes_all_levels
from mmkd.registry import MODELS


def naive(logits, temperature=1.0):
    out = torch.zeros_like(logits)
    for n in range(logits.shape[0]):
        for y in range(logits.shape[2]):
            for x in range(logits.shape[3]):
                z = logits[n, :, y, x]
                mean = sum(z) / len(z)
                sigma = (sum((v - mean) ** 2 for v in z) / len(z)).sqrt()
                out[n, :, y, x] = (z - mean) / (sigma + 1e-7) / temperature
    return out


@pytest.mark.parametrize('temperature', [1.0, 2.0])
@pytest.mark.parametrize('shape', [(2, 5, 3, 4), (1, 3, 1, 1)])
def test_equals_the_naive_formula(shape, temperature):
    logits, teacher = draw(shape, shape, dtype=torch.float64)
    torch.testing.assert_close(standardize_logits(logits, temperature), naive(logits, temperature))

    def expected(s, t):
        return temperature**2 * pixel_wise_loss(naive(s, temperature), naive(t, temperature))

    loss = LogitStandardized(loss=dict(type='PixelWiseLoss', activation='softmax'), temperature=temperature)
    pairs = zip(value_and_gradient(loss, logits, teacher), value_and_gradient(expected, logits, teacher), strict=True)
    for a, e in pairs:
        assert_same(a, e, 1e-7)


def test_gradcheck():
    logits = draw((2, 4, 2, 3), dtype=torch.float64)[0].requires_grad_()
    assert torch.autograd.gradcheck(lambda x: standardize_logits(x, 2.0), logits)


def test_range_and_offset_of_either_network_do_not_matter():
    student, teacher = draw((2, 5, 3, 4), (2, 5, 3, 4))
    loss = LogitStandardized(loss=dict(type='PixelWiseLoss', activation='softmax'))
    expected = loss(student, teacher)
    torch.testing.assert_close(loss(7 * student - 3, 0.2 * teacher + 5), expected, rtol=1e-4, atol=1e-6)
    assert loss(student, 4 * student + 1) < 1e-6 < pixel_wise_loss(student, 4 * student + 1)


def test_equal_logits_become_zero_without_gradient():
    logits = torch.full((1, 5, 2, 2), 0.1, requires_grad=True)
    out = standardize_logits(logits)
    out.sum().backward()
    assert not out.any() and not logits.grad.any()
    assert torch.isfinite(standardize_logits(torch.full((1, 3, 1, 1), 1e4))).all()


@pytest.mark.parametrize(
    ('config', 'function'),
    [
        (dict(type='PixelWiseLoss', activation='sigmoid', mode='ce', weight=3.0), None),
        (dict(type='ChannelWiseDivergence', loss_weight=2.0), None),
        (dict(type='mmkd.DISTLoss'), dist_loss),
    ],
)
def test_any_loss_may_be_inside(config, function):
    student, teacher = draw((2, 5, 3, 4), (2, 5, 3, 4))
    loss = LogitStandardized(loss=config, loss_weight=0.5)
    inner = function or loss.loss
    expected = 0.5 * inner(standardize_logits(student), standardize_logits(teacher))
    torch.testing.assert_close(loss(preds_S=student, preds_T=teacher), expected)


def test_a_plain_name_is_mmkds_and_mmrazors_are_had_by_theirs():
    theirs = mmrazor_losses().ChannelWiseDivergence
    from mmengine.registry import DefaultScope

    with DefaultScope.overwrite_default_scope('mmrazor'):
        assert type(LogitStandardized(loss=dict(type='ChannelWiseDivergence')).loss) is ChannelWiseDivergence
        wrapped = LogitStandardized(loss=dict(type='mmrazor.ChannelWiseDivergence'), temperature=2.0)
    assert type(wrapped.loss) is theirs
    student, teacher = draw((2, 5, 3, 4), (2, 5, 3, 4))
    ours = LogitStandardized(loss=ChannelWiseDivergence(), temperature=2.0)
    torch.testing.assert_close(wrapped(student, teacher), ours(student, teacher))


def test_what_else_the_loss_takes_is_handed_on():
    student, teacher = draw((2, 5, 3, 4), (2, 5, 3, 4))
    mask = torch.zeros(2, 3, 4, dtype=torch.bool)
    mask[0, 1] = True
    loss = LogitStandardized(loss=PixelWiseLoss(activation='softmax'))
    assert not torch.equal(loss(student, teacher, mask=mask), loss(student, teacher))
    wrapped = LogitStandardized(loss=dict(type='DISTLoss', ignore_index=255))
    assert asked_for(wrapped) == dict(preds_S=True, preds_T=True, mask=False, data_samples=False)
    fgd = LogitStandardized(loss=dict(type='FGDLoss', global_weight=0))
    assert asked_for(fgd)['data_samples'] and takes_all_levels(fgd) and not takes_all_levels(wrapped)


def test_half_precision_and_autocast_are_computed_in_float32():
    student, teacher = (x.bfloat16() for x in draw((2, 5, 3, 4), (2, 5, 3, 4)))
    loss = LogitStandardized(loss=dict(type='PixelWiseLoss', activation='softmax'), temperature=2.0)
    expected = loss(student.float(), teacher.float())
    with torch.autocast('cpu', dtype=torch.bfloat16):
        value, gradient = value_and_gradient(loss, student, teacher)
    assert torch.equal(value, expected) and gradient.dtype == torch.bfloat16


def test_teacher_gets_no_gradient():
    student, teacher = (x.requires_grad_() for x in draw((2, 5, 3, 4), (2, 5, 3, 4)))
    LogitStandardized(loss=dict(type='PixelWiseLoss', activation='softmax'))(student, teacher).backward()
    assert teacher.grad is None and student.grad.any()


def test_levels_are_averaged_by_the_loss():
    pairs = [draw((2, 5, size, size), (2, 5, size, size)) for size in (4, 2)]
    loss = LogitStandardized(loss=dict(type='PixelWiseLoss', activation='softmax'))
    expected = sum(loss(*pair) for pair in pairs) / 2
    torch.testing.assert_close(loss(*map(list, zip(*pairs, strict=True))), expected)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match='temperature: expected a number above 0, but got 0'):
        LogitStandardized(loss=dict(type='PixelWiseLoss', activation='softmax'), temperature=0)
    with pytest.raises(ValueError, match='temperature=2.0 and the temperature 4.0 of its loss were both given'):
        LogitStandardized(loss=dict(type='PixelWiseLoss', temperature=4.0), temperature=2.0)
    with pytest.raises(TypeError, match="loss: a config or a module was expected, got 'PixelWiseLoss'"):
        LogitStandardized(loss='PixelWiseLoss')


def test_module_survives_pickle_and_deepcopy_and_is_registered():
    loss = MODELS.build(
        dict(type='mmkd.LogitStandardized', loss=dict(type='PixelWiseLoss', activation='softmax'), loss_weight=2.5)
    )
    student, teacher = draw((2, 5, 3, 4), (2, 5, 3, 4))
    for other in (pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss)):
        assert torch.equal(other(student, teacher), loss(student, teacher))
    assert 'temperature=1.0, loss_weight=2.5' in repr(loss)


def test_of_two_classes_only_signs_are_left_which_is_refused():
    for classes in (1, 2):
        with pytest.raises(ValueError, match='fewer than 3 classes.*teaches nothing'):
            LogitStandardized(PixelWiseLoss(activation='sigmoid'))(*draw((2, classes, 3, 3), (2, classes, 3, 3)))
