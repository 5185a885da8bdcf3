"""PKD."""

import pytest
import torch
from helpers.loss_tester import LossTester, assert_same, draw, mmrazor_losses, value_and_gradient

from mmkd.distillation.losses import PKDLoss, pkd_loss


class TestPKDLoss(LossTester):
    function = staticmethod(pkd_loss)
    module = PKDLoss
    shapes = [((2, 5, 3, 4),) * 2, ((1, 3, 2, 2),) * 2, ((3, 1, 2, 5),) * 2]
    bad_options = [(dict(align='both'), "align: .* 'both'")]
    bad_shapes = [
        ((2, 5, 4, 4), (2, 6, 4, 4), r'channels.*teacher \(2, 6, 4, 4\).*connector'),
        ((2, 5, 4, 4), (2, 5, 4, 8), "spatial sizes.*align='student'"),
    ]

    @staticmethod
    def naive(student, teacher):
        number, channels, height, width = student.shape
        count = number * height * width
        total = 0
        for c in range(channels):
            s, t = student[:, c].flatten(), teacher[:, c].flatten()
            s, t = s - s.sum() / count, t - t.sum() / count
            r = (s * t).sum() / ((s * s).sum() * (t * t).sum()).sqrt()
            total = total + (count - 1) / count * (1 - r)
        return total / channels

    # the naive formula leaves out the 1e-6 beside the standard deviation
    def test_equals_the_naive_formula(self, shapes, options):
        pair = draw(*shapes, dtype=torch.float64)
        expected = value_and_gradient(self.naive, *pair)
        for a, e in zip(value_and_gradient(pkd_loss, *pair), expected, strict=True):
            assert_same(a, e, 1e-5)

    @pytest.mark.parametrize('resize_stu', [True, False])
    @pytest.mark.parametrize('sizes', [((7, 5), (7, 5)), ((4, 6), (8, 9))])
    def test_equals_mmrazor_over_levels(self, resize_stu, sizes):
        students, teachers = (
            tuple(draw(*((2, 4, h * k, w * k) for k in (1, 2)), seed=seed)) for seed, (h, w) in enumerate(sizes)
        )
        theirs = mmrazor_losses().PKDLoss(loss_weight=6.0, resize_stu=resize_stu)
        ours = PKDLoss(loss_weight=12.0, resize_stu=resize_stu)  # theirs is the sum over the two levels
        results = []
        for loss in (ours, theirs):
            leaves = [s.clone().requires_grad_() for s in students]
            value = loss(tuple(leaves), teachers)
            results.append((value, *torch.autograd.grad(value, leaves)))
        for a, e in zip(*results, strict=True):
            assert_same(a, e, 1e-5)

    def test_levels_may_differ_in_width_alone(self):
        # mmrazor looks at the height only and then fails
        student, teacher = draw((1, 2, 4, 6), (1, 2, 4, 8))
        resized = torch.nn.functional.interpolate(teacher, (4, 6), mode='bilinear')
        torch.testing.assert_close(pkd_loss(student, teacher, align='student'), pkd_loss(student, resized))

    def test_gradcheck_with_resizing(self):
        student, teacher = draw((1, 2, 3, 4), (1, 2, 5, 3), dtype=torch.float64)
        for align in ('student', 'teacher'):
            assert torch.autograd.gradcheck(
                lambda s, a=align: pkd_loss(s, teacher, align=a), student.clone().requires_grad_()
            )

    def test_scale_and_offset_of_a_channel_do_not_matter(self):
        student, teacher = self.one_pair()
        other = teacher * torch.tensor([1.0, 2, 3, 40, 0.5]).view(1, 5, 1, 1) + 3
        torch.testing.assert_close(pkd_loss(student, other), pkd_loss(student, teacher), rtol=1e-4, atol=0)

    @pytest.mark.parametrize('shape', [(2, 3, 4, 4), (1, 3, 1, 1)])
    def test_constant_channels_and_single_positions_give_finite_gradients(self, shape):
        teacher = draw(shape)[0]
        loss, gradient = value_and_gradient(pkd_loss, torch.full(shape, 0.1), teacher)
        assert loss == pkd_loss(torch.zeros(shape), teacher)
        assert not gradient.any()

    def test_value_does_not_grow_with_the_batch(self):
        # (M - 1) / M is 23 / 24 with one copy of the batch and 47 / 48 with two
        student, teacher = self.one_pair()
        twice = pkd_loss(torch.cat([student, student]), torch.cat([teacher, teacher]))
        torch.testing.assert_close(twice / (47 / 48), pkd_loss(student, teacher) / (23 / 24), rtol=1e-4, atol=0)
