"""The teacher-bounded loss."""

import pytest
import torch
from helpers.loss_tester import draw

from mmkd.distillation.losses import teacher_bounded_loss


def bounded(student, teacher, nu=0.5):
    """What is minimised in all: the student's own loss and the added part."""
    return student + nu * teacher_bounded_loss(student, teacher)


@pytest.mark.parametrize('teacher, student, expected', [(0.4, 0.6, 0.9), (0.6, 0.4, 0.4), (0.6, 0.6, 0.6)])
def test_numbers_of_centermask_kd(teacher, student, expected):
    assert bounded(torch.tensor(student), torch.tensor(teacher)).item() == pytest.approx(expected)


def test_the_gradient_is_that_of_the_student_where_it_is_worse_and_none_reaches_the_teacher():
    student, teacher = (x.abs().requires_grad_() for x in draw((7,), (7,), dtype=torch.float64))
    loss = bounded(student, teacher)
    worse = student > teacher
    assert 0 < worse.sum() < 7
    torch.testing.assert_close(loss, torch.where(worse, 1.5 * student, student))
    gradient, to_teacher = torch.autograd.grad(loss.sum(), (student, teacher), allow_unused=True)
    torch.testing.assert_close(gradient, torch.where(worse, 1.5, 1.0).double())
    assert to_teacher is None


def test_gradcheck_away_from_the_step():
    student, teacher = (x.requires_grad_(i == 0) for i, x in enumerate(draw((5,), (5,), dtype=torch.float64)))
    assert torch.autograd.gradcheck(lambda s: teacher_bounded_loss(s, teacher), student)


def test_margin_asks_for_more_than_the_teacher():
    student, teacher = torch.tensor([0.5, 0.3]), torch.tensor([0.6, 0.6])
    assert teacher_bounded_loss(student, teacher).tolist() == [0, 0]
    torch.testing.assert_close(teacher_bounded_loss(student, teacher, margin=0.2), torch.tensor([0.5, 0.0]))


def test_no_location_gives_no_loss_but_a_graph():
    student = torch.zeros(0, requires_grad=True)
    teacher_bounded_loss(student, torch.zeros(0)).sum().backward()
    assert student.grad.shape == (0,)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r'student \(3,\), teacher \(2,\)'):
        teacher_bounded_loss(torch.zeros(3), torch.zeros(2))
