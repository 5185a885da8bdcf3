"""The margin loss of the overhaul of feature distillation."""

import math

import pytest
import torch
from helpers.loss_tester import LossTester, draw, grid, mmrazor_losses, value_and_gradient
from torch import nn

from mmkd.distillation.losses import OverhaulLoss, overhaul_loss, overhaul_margin


class TestOverhaulLoss(LossTester):
    function = staticmethod(overhaul_loss)
    module = OverhaulLoss
    shapes = [((2, 5, 3, 4),) * 2, ((1, 2, 1, 1),) * 2, ((3, 1, 2, 5),) * 2]
    options = grid(reduction=('mean', 'batchmean', 'sum'))
    bad_options = [(dict(reduction='class_mean'), "reduction: .* 'class_mean'"), (dict(align='both'), 'align')]
    bad_shapes = [
        ((2, 20, 4, 4), (2, 80, 4, 4), r'connector.*'),
        ((2, 5, 4, 4), (1, 5, 4, 4), 'different batch sizes'),
        ((2, 5, 4, 4), (2, 5, 8, 8), "spatial sizes.*align='student'"),
    ]

    @staticmethod
    def naive(student, teacher, reduction='mean', margin=None):
        total = 0
        for n in range(student.shape[0]):
            for c in range(student.shape[1]):
                bound = teacher.new_zeros(()) if margin is None else margin[c]
                for s, t in zip(student[n, c].flatten(), teacher[n, c].flatten(), strict=True):
                    target = max(t, bound)
                    if s > target or target > 0:
                        total = total + (s - target) ** 2
        total = student.sum() * 0 + total
        return total / {'mean': student.numel(), 'batchmean': student.shape[0], 'sum': 1}[reduction]

    @pytest.mark.parametrize('reduction', ['mean', 'batchmean', 'sum'])
    def test_equals_the_naive_formula_with_a_margin(self, reduction):
        pair = draw((2, 4, 3, 5), (2, 4, 3, 5), dtype=torch.float64)
        margin = torch.tensor([-0.8, -0.3, -2.0, 0.0], dtype=torch.float64)
        ours = value_and_gradient(overhaul_loss, *pair, margin=margin, reduction=reduction)
        for a, b in zip(ours, value_and_gradient(self.naive, *pair, margin=margin, reduction=reduction), strict=True):
            torch.testing.assert_close(a, b)

    def test_feature_worked_by_hand(self):
        # one channel with the margin -1; targets 2, -0.5, -1, -1. The student is at 1 (must rise), -3 (is below and
        # stays), 0 (must fall by 1), -1 (is there)
        teacher = torch.tensor([2.0, -0.5, -5.0, -1.5]).view(1, 1, 2, 2)
        student = torch.tensor([1.0, -3.0, 0.0, -1.0]).view(1, 1, 2, 2)
        loss, gradient = value_and_gradient(
            overhaul_loss, student, teacher, margin=torch.tensor([-1.0]), reduction='sum'
        )
        assert loss.item() == 1 + 0 + 1 + 0
        assert gradient.flatten().tolist() == [-2.0, 0.0, 2.0, 0.0]

    def test_margin_is_the_mean_of_the_negative_part(self):
        sample = draw((200_000,))[0]
        for weight, bias in ((1.0, 0.0), (0.5, 0.3), (-2.0, -1.0)):
            values = abs(weight) * sample + bias
            margin = overhaul_margin(torch.tensor([weight]), torch.tensor([bias]))
            assert margin.item() == pytest.approx(values[values < 0].mean().item(), rel=0.02)

    def test_margin_of_a_channel_that_is_hardly_ever_negative(self):
        # 0.1 and 0.9: 9 deviations above zero
        assert overhaul_margin(torch.tensor([0.1]), torch.tensor([0.9])).item() == pytest.approx(-0.3)

    def test_margin_of_a_constant_channel(self):
        margin = overhaul_margin(torch.zeros(3), torch.tensor([-2.0, 0.0, 3.0]))
        assert margin.tolist() == [-2.0, 0.0, 0.0]

    def test_margin_refuses_what_is_no_norm(self):
        with pytest.raises(ValueError, match=r'\(3,\) and \(4,\)'):
            overhaul_margin(torch.ones(3), torch.ones(4))
        with pytest.raises(ValueError, match='each of the 5 channels'):
            overhaul_loss(*self.one_pair(), margin=torch.zeros(4))

    def test_module_takes_the_margin_from_a_norm(self):
        student, teacher = self.one_pair()
        norm = nn.BatchNorm2d(5)
        nn.init.uniform_(norm.weight, -1, 1), nn.init.normal_(norm.bias)
        inputs = dict(norm_weight=norm.weight, norm_bias=norm.bias)
        expected = overhaul_loss(student, teacher, overhaul_margin(norm.weight, norm.bias))
        loss = OverhaulLoss(loss_weight=3.0)
        torch.testing.assert_close(loss(student, teacher, **inputs), 3 * expected)
        torch.testing.assert_close(loss([student, student], [teacher, teacher], **inputs), 3 * expected)
        assert not torch.isclose(loss(student, teacher), 3 * expected)
        loss(student.requires_grad_(), teacher, **inputs).backward()
        assert norm.weight.grad is None and norm.bias.grad is None
        with pytest.raises(ValueError, match='norm_weight and norm_bias belong together'):
            loss(student, teacher, norm_weight=norm.weight)

    def test_equals_mmrazor(self):
        student, teacher = draw((2, 4, 9, 7), (2, 4, 9, 7))
        margin = torch.tensor([-0.8, -0.3, -2.0, 0.0])
        theirs = mmrazor_losses().OFDLoss(loss_weight=3.0)
        target = torch.maximum(teacher, margin.view(1, -1, 1, 1))  # what its connector does
        expected = value_and_gradient(theirs, student, target)
        ours = value_and_gradient(overhaul_loss, student, teacher, margin=margin, reduction='batchmean')
        for a, b in zip(ours, expected, strict=True):
            torch.testing.assert_close(3e-3 * a, b)

    def test_half_precision_norm(self):
        expected = -math.sqrt(2 / math.pi)
        with torch.autocast('cpu', dtype=torch.bfloat16):
            margin = overhaul_margin(torch.ones(1, dtype=torch.bfloat16), torch.zeros(1, dtype=torch.bfloat16))
        assert margin.dtype == torch.float32 and margin.item() == pytest.approx(expected)
