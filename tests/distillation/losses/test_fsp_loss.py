"""The FSP loss: how the channels of consecutive features go together."""

import copy
import pickle

import pytest
import torch
from helpers.loss_tester import assert_same, draw, value_and_gradient

from mmkd.distillation.losses import FSPLoss, feature_mse_loss, fsp_loss, fsp_matrix
from mmkd.distillation.losses.context import takes_all_levels
from mmkd.registry import MODELS

SHAPES = ((2, 3, 8, 6), (2, 4, 4, 3), (2, 5, 4, 3))


def pair(shapes=SHAPES, **kwargs):
    return draw(*shapes, seed=0, **kwargs), draw(*shapes, seed=1, **kwargs)


def naive_matrix(first, second):
    """Every entry by itself; the first map is an exact multiple of the second in size."""
    factor = first.shape[2] // second.shape[2]
    number, channels, height, width = second.shape
    matrix = torch.zeros(number, first.shape[1], channels, dtype=first.dtype)
    for n in range(number):
        for a in range(first.shape[1]):
            for b in range(channels):
                for y in range(height):
                    for x in range(width):
                        block = first[n, a, y * factor : (y + 1) * factor, x * factor : (x + 1) * factor]
                        matrix[n, a, b] += block.mean() * second[n, b, y, x] / (height * width)
    return matrix


def naive(student, teacher, reduction='mean'):
    losses = []
    for i in range(len(student) - 1):
        difference = naive_matrix(student[i], student[i + 1]) - naive_matrix(teacher[i], teacher[i + 1])
        losses.append((difference**2).sum() / difference.numel())
    return sum(losses) / (len(losses) if reduction == 'mean' else 1)


def all_gradients(function, student, teacher, **options):
    student = [x.clone().requires_grad_() for x in student]
    loss = function(student, teacher, **options)
    return loss.detach(), torch.autograd.grad(loss, student)


@pytest.mark.parametrize('reduction', ['mean', 'sum'])
@pytest.mark.parametrize('shapes', [SHAPES, SHAPES[1:], ((1, 2, 4, 4), (1, 1, 1, 1))])
def test_equals_the_naive_formula_in_value_and_gradient(shapes, reduction):
    student, teacher = pair(shapes, dtype=torch.float64)
    value, gradients = all_gradients(fsp_loss, student, teacher, reduction=reduction)
    expected, expected_gradients = all_gradients(naive, student, teacher, reduction=reduction)
    assert_same(value, expected, 1e-10)
    for gradient, wanted in zip(gradients, expected_gradients, strict=True):
        assert gradient.abs().max() > 0
        assert_same(gradient, wanted, 1e-10, 'gradient')


def test_gradcheck():
    student, teacher = pair(((1, 2, 4, 2), (1, 3, 2, 1)), dtype=torch.float64)
    student = [x.requires_grad_() for x in student]
    assert torch.autograd.gradcheck(lambda *s: fsp_loss(s, teacher), student)


def test_numbers_of_centermask_kd():
    """The correlation and feature losses of the original, on inputs from a seeded generator in the original order."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        for size in (8, 4, 2, 1, 1):
            torch.randn(2, 5, size, size, generator=generator)
    shapes = ((2, 4, 16, 16), (2, 6, 8, 8), (2, 8, 4, 4), (2, 10, 2, 2), (2, 7, 1, 1))
    student, teacher = ([torch.randn(shape, generator=generator) for shape in shapes] for _ in range(2))
    assert fsp_loss(student, teacher, reduction='sum').item() == pytest.approx(1.0160914659500122, rel=1e-5)
    weighted = FSPLoss(reduction='sum', loss_weight=0.2)(student, teacher)
    assert weighted.item() == pytest.approx(0.20321829, rel=1e-5)
    matrix = fsp_matrix(student[0], student[1])
    assert matrix.shape == (2, 4, 6)
    assert matrix.sum().item() == pytest.approx(-0.012381315231323242, abs=1e-6)
    mean_over_levels = sum(map(feature_mse_loss, student, teacher)) / 5
    assert mean_over_levels.item() == pytest.approx(10.604676246643066 / 5, rel=1e-5)


def test_the_smaller_map_may_come_first():
    first, second = draw((2, 3, 4, 4), (2, 5, 8, 8))
    torch.testing.assert_close(fsp_matrix(first, second), fsp_matrix(second, first).transpose(1, 2))


def test_maps_of_student_and_teacher_may_differ_in_size():
    student = [torch.full((1, 2, 8, 8), 2.0), torch.ones(1, 3, 4, 4)]
    teacher = [torch.full((1, 2, 6, 6), 2.0), torch.ones(1, 3, 3, 3)]
    assert fsp_loss(student, teacher) == 0


def test_rules_of_the_core():
    student, teacher = pair()
    for tensor in teacher:
        tensor.requires_grad_()
    expected = fsp_loss(student, teacher)
    assert fsp_loss(student, student) == 0 < expected
    assert not expected.requires_grad  # none of the student's has one, the teacher's does not count
    doubled = [[torch.cat([x, x]) for x in features] for features in (student, teacher)]
    torch.testing.assert_close(fsp_loss(*doubled), expected)  # the batch does not matter
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert torch.equal(fsp_loss(student, teacher), expected)
    half = [x.bfloat16() for x in student]
    loss, gradient = value_and_gradient(lambda s, t: fsp_loss([s, *half[1:]], t), half[0], teacher)
    assert loss.dtype == torch.float32 and gradient.dtype == torch.bfloat16
    assert torch.equal(loss, fsp_loss([x.float() for x in half], teacher).detach())


def test_module_is_the_weighted_function_and_takes_all_features_at_once():
    student, teacher = pair()
    module = MODELS.build(dict(type='mmkd.FSPLoss', reduction='sum', loss_weight=2.5))
    assert takes_all_levels(module)
    expected = 2.5 * fsp_loss(student, teacher, 'sum')
    for loss in (module, copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        torch.testing.assert_close(loss(levels_S=student, levels_T=teacher), expected)
    assert 'loss_weight=2.5' in repr(module) and not module.state_dict()


def test_what_does_not_fit_is_refused():
    student, teacher = pair()
    with pytest.raises(ValueError, match="reduction: expected one of 'mean', 'sum', but got 'none'"):
        FSPLoss(reduction='none')
    with pytest.raises(TypeError, match='teacher: a list of features'):
        fsp_loss(student, teacher[0])
    with pytest.raises(ValueError, match='got 3 of the student and 2 of the teacher'):
        fsp_loss(student, teacher[:2])
    with pytest.raises(ValueError, match='at least two features'):
        fsp_loss(student[:1], teacher[:1])
    with pytest.raises(ValueError, match=r'teacher \(2, 5, 4, 3\).*connector="conv1x1"'):
        fsp_loss(student[:2], [teacher[0], teacher[2]])
