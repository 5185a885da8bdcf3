"""Channel-wise distillation."""

import pytest
import torch
from helpers.loss_tester import LossTester, draw, grid, mmrazor_losses, value_and_gradient

from mmkd.distillation.losses import ChannelWiseDivergence, channel_wise_divergence


class TestChannelWiseDivergence(LossTester):
    function = staticmethod(channel_wise_divergence)
    module = ChannelWiseDivergence
    shapes = [((2, 5, 3, 4),) * 2, ((1, 3, 2, 2),) * 2, ((3, 1, 2, 5),) * 2, ((2, 3, 1, 6),) * 2]
    options = grid(temperature=(1, 4.0))
    gradcheck_options = options
    bad_options = [
        (dict(temperature=-1), 'temperature: expected a number above 0, but got -1'),
        (dict(align='both'), "align: .* 'both'"),
    ]
    bad_shapes = [
        ((2, 20, 4, 4), (2, 80, 4, 4), r'classes.*teacher \(2, 80, 4, 4\)'),
        ((2, 5, 4, 4), (1, 5, 4, 4), 'different batch sizes'),
        ((2, 5, 4, 4), (2, 5, 8, 8), "spatial sizes.*align='student'"),
        ((2, 5, 4, 4), (2, 5, 4), r'tokens \(N, L, C\)'),
    ]

    @staticmethod
    def naive(student, teacher, temperature=1):
        number, channels = student.shape[:2]
        total = 0
        for n in range(number):
            for c in range(channels):
                s, t = student[n, c] / temperature, teacher[n, c] / temperature
                q, p = s.exp() / s.exp().sum(), t.exp() / t.exp().sum()
                total = total + temperature**2 * (p * (p / q).log()).sum()
        return total / (number * channels)

    def test_feature_worked_by_hand(self):
        # one channel over two places, p = (3/4, 1/4), q = (1/2, 1/2): 3/4 log 3/2 + 1/4 log 1/2 = 0.1308; another is 0
        teacher = torch.tensor([[3.0, 1.0], [1.0, 1.0]]).log().view(1, 2, 1, 2)
        loss = channel_wise_divergence(torch.zeros(1, 2, 1, 2), teacher)
        assert loss.item() == pytest.approx(0.130812 / 2, abs=1e-6)

    def test_a_shift_of_a_channel_does_not_matter(self):
        student, teacher = self.one_pair()
        shifted = student + torch.arange(5.0).view(1, 5, 1, 1)
        torch.testing.assert_close(
            channel_wise_divergence(shifted, teacher), channel_wise_divergence(student, teacher), rtol=1e-5, atol=0
        )

    @pytest.mark.parametrize('tau', [1.0, 4.0])
    def test_equals_mmrazor(self, tau):
        student, teacher = draw((2, 5, 9, 7), (2, 5, 9, 7))
        theirs = mmrazor_losses().ChannelWiseDivergence(tau=tau, loss_weight=3.0)
        ours = ChannelWiseDivergence(temperature=tau, loss_weight=3.0)
        for a, b in zip(
            value_and_gradient(ours, student, teacher), value_and_gradient(theirs, student, teacher), strict=True
        ):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)

    def test_tau_is_the_temperature(self):
        student, teacher = self.one_pair()
        loss = ChannelWiseDivergence(tau=4.0)(student, teacher)
        torch.testing.assert_close(loss, channel_wise_divergence(student, teacher, temperature=4.0))

    @pytest.mark.parametrize('align_corners', [False, True])
    def test_align_resizes_one_of_the_maps(self, align_corners):
        student, teacher = draw((2, 4, 8, 6), (2, 4, 5, 7))
        resize = dict(mode='bilinear', align_corners=align_corners)
        resized_teacher = torch.nn.functional.interpolate(teacher, (8, 6), **resize)
        loss = channel_wise_divergence(student, teacher, align='student', align_corners=align_corners)
        torch.testing.assert_close(loss, channel_wise_divergence(student, resized_teacher))
        resized_student = torch.nn.functional.interpolate(student, (5, 7), **resize)
        loss = channel_wise_divergence(student, teacher, align='teacher', align_corners=align_corners)
        torch.testing.assert_close(loss, channel_wise_divergence(resized_student, teacher))

    @pytest.mark.parametrize('align', ['student', 'teacher'])
    def test_gradcheck_at_unequal_sizes(self, align):
        student, teacher = draw((1, 2, 3, 4), (1, 2, 5, 3), dtype=torch.float64)
        assert torch.autograd.gradcheck(
            lambda s: channel_wise_divergence(s, teacher, temperature=2.0, align=align), student.requires_grad_()
        )

    def test_levels_of_unequal_sizes(self):
        students = draw((2, 4, 8, 6), (2, 4, 4, 3))
        teachers = draw((2, 4, 5, 7), (2, 4, 3, 4), seed=1)
        expected = sum(channel_wise_divergence(*p, align='student') for p in zip(students, teachers, strict=True)) / 2
        torch.testing.assert_close(ChannelWiseDivergence(align='student')(students, teachers), expected)

    def test_extreme_features_give_finite_values_and_gradients(self):
        student, teacher = (1e4 * x for x in self.one_pair())
        loss, gradient = value_and_gradient(channel_wise_divergence, student, teacher)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()
