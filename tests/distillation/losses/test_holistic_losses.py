"""Adversarial terms and the gradient penalty."""

import pytest
import torch
from helpers.loss_tester import draw, golden_tensors
from torch import nn

from mmkd.distillation.losses import adversarial_discriminator_loss, adversarial_student_loss, gradient_penalty

SHAPE = (3, 4, 5, 6)


def linear_discriminator(weight):
    return lambda x: (weight * x).sum(dim=(1, 2, 3))


def test_golden_adversarial_terms():
    arrays = golden_tensors()
    student, teacher = arrays['adv_dS'], arrays['adv_dT']
    for mode in ('wgan', 'hinge'):
        loss = adversarial_discriminator_loss(student, teacher, mode).item()
        assert loss == pytest.approx(arrays[f'adv_{mode}_D'].item(), rel=1e-6)
        assert adversarial_student_loss(student).item() == pytest.approx(arrays[f'adv_{mode}_G'].item(), rel=1e-6)


def test_adversarial_terms_worked_by_hand():
    student, teacher = torch.tensor([0.3, -0.2]), torch.tensor([1.5, 0.1])
    assert adversarial_student_loss(student).item() == pytest.approx(-0.05)
    # mean S = 0.05, mean T = 0.8
    assert adversarial_discriminator_loss(student, teacher).item() == pytest.approx(-0.75)
    # (1.3 + 0.8) / 2 + (0 + 0.9) / 2
    assert adversarial_discriminator_loss(student, teacher, 'hinge').item() == pytest.approx(1.5)


@pytest.mark.parametrize('mode', ['wgan', 'hinge'])
def test_adversarial_gradcheck(mode):
    scores = [x.requires_grad_() for x in draw((4, 1), (4, 1), dtype=torch.float64)]
    assert torch.autograd.gradcheck(lambda s, t: adversarial_discriminator_loss(s, t, mode), scores)
    assert torch.autograd.gradcheck(adversarial_student_loss, scores[:1])


def test_adversarial_scores_in_half_precision_are_averaged_in_float32():
    scores = torch.full((4096,), 100.0, dtype=torch.float16)  # their sum is beyond float16
    assert adversarial_student_loss(scores).item() == -100
    assert adversarial_discriminator_loss(scores, -scores).item() == 200


def test_adversarial_mode_is_checked():
    with pytest.raises(ValueError, match="mode: expected one of 'wgan', 'hinge', but got 'lsgan'"):
        adversarial_discriminator_loss(torch.zeros(2), torch.zeros(2), 'lsgan')


def test_golden_gradient_penalty():
    arrays = golden_tensors()
    loss = gradient_penalty(linear_discriminator(arrays['gp_w']), arrays['gp_S'], arrays['gp_T'])
    assert loss.item() == pytest.approx(arrays['gp_loss'].item(), rel=1e-5)


def test_gradient_penalty_worked_by_hand():
    # the slope is w everywhere, |w| = 0.5 * sqrt(4 * 5 * 6) = 5.477: 10 * 4.477^2 = 200.455
    student, teacher = draw(SHAPE, SHAPE)
    loss = gradient_penalty(linear_discriminator(torch.full((1, 4, 5, 6), 0.5)), student, teacher)
    assert loss.item() == pytest.approx(200.4555, rel=1e-5)


def test_gradient_penalty_of_a_flat_discriminator_has_a_finite_gradient():
    weight = torch.zeros(1, 4, 5, 6, requires_grad=True)
    loss = gradient_penalty(linear_discriminator(weight), *draw(SHAPE, SHAPE))
    assert loss.item() == 10.0
    loss.backward()
    assert torch.isfinite(weight.grad).all()


def test_gradient_penalty_reaches_the_discriminator_only():
    torch.manual_seed(0)
    discriminator = nn.Sequential(nn.Conv2d(4, 8, 3), nn.Tanh(), nn.Conv2d(8, 1, (3, 4)))
    student, teacher = (x.requires_grad_() for x in draw(SHAPE, SHAPE))
    with torch.no_grad():  # works there as well
        loss = gradient_penalty(discriminator, student, teacher)
    loss.backward()
    assert student.grad is None
    assert teacher.grad is None
    assert discriminator[0].weight.grad.abs().max() > 0


def test_gradient_penalty_gradcheck_at_fixed_places():
    student, teacher, weight = draw((2, 2, 3, 3), (2, 2, 3, 3), (1, 2, 3, 3), dtype=torch.float64)
    alpha = torch.tensor([0.2, 0.7], dtype=torch.float64)

    def penalty(w):
        return gradient_penalty(lambda x: (w * x).tanh().sum(dim=(1, 2, 3)), student, teacher, alpha=alpha)

    assert torch.autograd.gradcheck(penalty, weight.requires_grad_())


def test_gradient_penalty_looks_between_student_and_teacher():
    student, teacher = torch.zeros(64, 1, 2, 2), torch.ones(64, 1, 2, 2)
    seen = []

    def discriminator(x):
        seen.append(x.detach())
        return x.sum(dim=(1, 2, 3))

    torch.manual_seed(0)
    gradient_penalty(discriminator, student, teacher)
    places = seen[0].flatten(1)
    assert torch.equal(places, places[:, :1].expand_as(places))  # one place on the line for each image
    assert 0 <= places.min() < 0.2
    assert 0.8 < places.max() <= 1
    gradient_penalty(discriminator, student, teacher, alpha=torch.full((64,), 0.25))
    assert torch.equal(seen[1], torch.full((64, 1, 2, 2), 0.25))  # alpha is the teacher's share


def test_gradient_penalty_runs_in_float32_inside_autocast():
    torch.manual_seed(0)
    discriminator = nn.Sequential(nn.Conv2d(4, 8, 3), nn.Tanh(), nn.Conv2d(8, 1, (3, 4)))
    student, teacher = draw(SHAPE, SHAPE)
    alpha = torch.rand(3)
    expected = gradient_penalty(discriminator, student, teacher, alpha=alpha)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert torch.equal(gradient_penalty(discriminator, student, teacher, alpha=alpha), expected)


def test_gradient_penalty_refuses_unequal_shapes():
    with pytest.raises(ValueError, match=r'student \(2, 4, 5, 5\), teacher \(2, 4, 6, 6\)'):
        gradient_penalty(linear_discriminator(1.0), torch.zeros(2, 4, 5, 5), torch.zeros(2, 4, 6, 6))
