"""Attention transfer, by maps and by columns."""

import pytest
import torch
from helpers.loss_tester import LossTester, draw, grid, mmrazor_losses, value_and_gradient

from mmkd.distillation.losses import AttentionTransferLoss, attention_transfer_loss


class TestAttentionTransferLoss(LossTester):
    function = staticmethod(attention_transfer_loss)
    module = AttentionTransferLoss
    shapes = [((2, 5, 3, 4), (2, 5, 3, 4)), ((2, 3, 4, 5), (2, 7, 4, 5)), ((1, 1, 2, 2), (1, 4, 2, 2))]
    options = grid(normalize=('map', 'column'), reduction=('mean', 'vector_mean'))
    gradcheck_options = options
    bad_options = [
        (dict(normalize='row'), "normalize: expected one of 'map', 'column', but got 'row'"),
        (dict(reduction='sum'), "reduction: .* 'sum'"),
        (dict(align='both'), "align: .* 'both'"),
    ]
    bad_shapes = [
        ((2, 5, 4, 4), (1, 5, 4, 4), 'different batch sizes'),
        ((2, 5, 4, 4), (2, 5, 8, 8), "spatial sizes.*align='student'"),
        ((2, 5, 4), (2, 5, 4), r'tokens \(N, L, C\)'),
    ]

    @staticmethod
    def naive(student, teacher, normalize='map', reduction='mean'):
        number, _, height, width = student.shape
        total = 0
        for n in range(number):
            a, b = (x[n].pow(2).mean(0) for x in (student, teacher))
            if normalize == 'map':
                total = total + ((a / a.pow(2).sum().sqrt() - b / b.pow(2).sum().sqrt()) ** 2).sum()
            else:
                for j in range(width):
                    left, right = a[:, j], b[:, j]
                    total = total + ((left / left.norm() - right / right.norm()) ** 2).sum()
        vectors = number if normalize == 'map' else number * width
        return total / (number * height * width if reduction == 'mean' else vectors)

    def test_feature_worked_by_hand(self):
        # two channels, activity (9 + 16)/2 above and 0 below, against 0 and (25 + 25)/2: unit vectors (1, 0) and (0, 1)
        student = torch.tensor([[3.0, 0.0], [4.0, 0.0]]).view(1, 2, 2, 1)
        teacher = torch.tensor([[0.0, 5.0], [0.0, -5.0]]).view(1, 2, 2, 1)
        for normalize in ('map', 'column'):
            assert attention_transfer_loss(student, teacher, normalize).item() == 1.0
            assert attention_transfer_loss(student, teacher, normalize, 'vector_mean').item() == 2.0

    def test_a_column_counts_whatever_its_strength(self):
        student, teacher = self.one_pair()
        scaled = student * torch.tensor([1.0, 10.0, 0.1, 3.0])
        kwargs = dict(normalize='column')
        torch.testing.assert_close(
            attention_transfer_loss(scaled, teacher, **kwargs), attention_transfer_loss(student, teacher, **kwargs)
        )
        assert not torch.isclose(attention_transfer_loss(scaled, teacher), attention_transfer_loss(student, teacher))

    def test_equals_mmrazor(self):
        student, teacher = draw((2, 5, 9, 7), (2, 8, 9, 7))
        theirs = mmrazor_losses().ATLoss(loss_weight=3.0)
        ours = AttentionTransferLoss(loss_weight=3.0)
        for a, b in zip(
            value_and_gradient(ours, student, teacher), value_and_gradient(theirs, student, teacher), strict=True
        ):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-9)

    @pytest.mark.parametrize('normalize', ['map', 'column'])
    def test_empty_maps_and_columns_have_no_activity_and_a_finite_gradient(self, normalize):
        student, teacher = self.one_pair()
        student[0], student[1, :, :, 2], teacher[1, :, :, 1] = 0, 0, 0
        loss, gradient = value_and_gradient(attention_transfer_loss, student, teacher, normalize=normalize)
        assert torch.isfinite(loss) and torch.isfinite(gradient).all()
        assert gradient[0].abs().max() == 0

    def test_align_resizes_one_of_the_maps(self):
        student, teacher = draw((2, 4, 8, 6), (2, 4, 5, 7))
        resize = dict(mode='bilinear', align_corners=True)
        resized = torch.nn.functional.interpolate(teacher, (8, 6), **resize)
        loss = attention_transfer_loss(student, teacher, align='student', align_corners=True)
        torch.testing.assert_close(loss, attention_transfer_loss(student, resized))
        resized = torch.nn.functional.interpolate(student, (5, 7), **resize)
        loss = attention_transfer_loss(student, teacher, align='teacher', align_corners=True)
        torch.testing.assert_close(loss, attention_transfer_loss(resized, teacher))
