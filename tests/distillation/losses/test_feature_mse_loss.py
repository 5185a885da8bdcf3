"""Mean squared error of features."""

import pytest
import torch
from helpers.loss_tester import LossTester, draw, grid, mmrazor_losses, value_and_gradient

from mmkd.distillation.losses import FeatureMSELoss, feature_mse_loss


class TestFeatureMSELoss(LossTester):
    function = staticmethod(feature_mse_loss)
    module = FeatureMSELoss
    shapes = [((2, 5, 3, 4),) * 2, ((1, 3, 2, 2),) * 2, ((3, 1, 2, 5),) * 2]
    options = grid(normalize=('none', 'pixel', 'channel'))
    gradcheck_options = options
    bad_options = [
        (dict(normalize='batch'), "normalize: expected one of 'none', 'pixel', 'channel', but got 'batch'"),
        (dict(align='both'), "align: .* 'both'"),
    ]
    bad_shapes = [
        ((2, 128, 4, 4), (2, 256, 4, 4), r'channels.*teacher \(2, 256, 4, 4\).*connector="conv1x1"'),
        ((2, 5, 4, 4), (1, 5, 4, 4), 'different batch sizes'),
        ((2, 5, 4, 4), (2, 5, 8, 8), "spatial sizes.*align='student'"),
        ((2, 5, 4, 4), (2, 5, 4), r'tokens \(N, L, C\)'),
    ]

    @staticmethod
    def naive(student, teacher, normalize='none'):
        number, channels, height, width = student.shape
        if normalize == 'pixel':
            student, teacher = (
                torch.stack([x[:, :, y, z] / (x[:, :, y, z].norm(dim=1, keepdim=True) + 1e-8) for y, z in places], -1)
                for x in (student, teacher)
                for places in [[(y, z) for y in range(height) for z in range(width)]]
            )
        elif normalize == 'channel':
            student, teacher = (
                torch.stack([(x[:, c] - x[:, c].mean()) / (x[:, c].std() + 1e-6) for c in range(channels)], 1)
                for x in (student, teacher)
            )
        return ((student - teacher) ** 2).sum() / (number * channels * height * width)

    def test_feature_worked_by_hand(self):
        # (0.5^2 + 1.5^2) / 2 = 1.25
        student, teacher = torch.zeros(1, 2, 1, 1), torch.tensor([0.5, -1.5]).view(1, 2, 1, 1)
        assert feature_mse_loss(student, teacher).item() == 1.25

    def test_feature_pixel_compares_directions_only(self):
        # (1, 0) against (0, 3): (1 + 1) / 2 numbers; (1, 0) against (5, 0): the same direction
        student = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)
        right_angle, parallel = (torch.tensor(v).view(1, 2, 1, 1) for v in ([0.0, 3.0], [5.0, 0.0]))
        assert feature_mse_loss(student, right_angle, normalize='pixel').item() == pytest.approx(1)
        assert feature_mse_loss(student, parallel, normalize='pixel').item() == pytest.approx(0)

    def test_feature_channel_is_twice_one_minus_the_correlation(self):
        student, teacher = draw((4, 3, 16, 16), (4, 3, 16, 16), dtype=torch.float64)
        teacher = 5 * teacher + 3 * student - 7
        correlations = [
            torch.corrcoef(torch.stack([student[:, c].flatten(), teacher[:, c].flatten()])) for c in (0, 1, 2)
        ]
        expected = 2 * (1 - sum(c[0, 1] for c in correlations) / 3)
        loss = feature_mse_loss(student, teacher, normalize='channel')
        torch.testing.assert_close(loss, expected, rtol=2e-3, atol=0)  # n - 1 against n

    def test_channel_equals_twice_mmrazors_pkd(self):
        student, teacher = self.one_pair()
        theirs = mmrazor_losses().PKDLoss(loss_weight=2.0)(student, teacher)
        torch.testing.assert_close(feature_mse_loss(student, teacher, normalize='channel'), theirs)

    @pytest.mark.parametrize('normalize', ['pixel', 'channel'])
    def test_zero_and_constant_features_give_finite_gradients(self, normalize):
        student, teacher = draw((2, 3, 4, 4), (2, 3, 4, 4))
        student[:, 0] = 0.25  # a constant channel
        student[0, :, 1, 1] = 0  # a position without any feature
        student[:, 0] = 0
        for s in (student, torch.zeros_like(student)):
            loss, gradient = value_and_gradient(feature_mse_loss, s, teacher, normalize=normalize)
            assert torch.isfinite(loss)
            assert torch.isfinite(gradient).all()

    def test_align_resizes_one_of_the_maps(self):
        student, teacher = draw((2, 4, 8, 6), (2, 4, 5, 7))
        resized = torch.nn.functional.interpolate(teacher, (8, 6), mode='bilinear')
        loss = feature_mse_loss(student, teacher, align='student')
        torch.testing.assert_close(loss, feature_mse_loss(student, resized))
        assert feature_mse_loss(student, teacher, align='teacher') != loss
