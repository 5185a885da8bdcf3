"""DIST on dense maps."""

import pytest
import torch
from helpers.class_maps import class_maps
from helpers.loss_tester import LossTester, assert_same, draw, grid, mmrazor_losses, value_and_gradient
from mmengine.structures import BaseDataElement

from mmkd.distillation.losses import DISTLoss, dist_loss


def rows(x):
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


class TestDISTLoss(LossTester):
    function = staticmethod(dist_loss)
    module = DISTLoss
    shapes = [((2, 5, 3, 4),) * 2, ((1, 3, 2, 2),) * 2, ((3, 4, 2, 5),) * 2]
    options = [*grid(temperature=(1, 4.0)), dict(inter_weight=2.0, intra_weight=0.5)]
    gradcheck_options = options
    bad_options = [
        (dict(temperature=0), 'temperature: expected a number above 0, but got 0'),
        (dict(align='both'), "align: .* 'both'"),
    ]
    bad_shapes = [
        ((2, 20, 4, 4), (2, 80, 4, 4), r'classes.*teacher \(2, 80, 4, 4\)'),
        ((2, 5, 4, 4), (2, 5, 8, 8), "spatial sizes.*align='student'"),
        ((2, 1, 4, 4), (2, 1, 4, 4), 'no relation between classes of a single one'),
    ]

    @staticmethod
    def naive(student, teacher, temperature=1, inter_weight=1.0, intra_weight=1.0):
        def correlation(a, b):
            a, b = a - a.sum() / len(a), b - b.sum() / len(b)
            return (a * b).sum() / ((a * a).sum().sqrt() * (b * b).sum().sqrt() + 1e-8)

        number, classes, height, width = student.shape
        pixels = []
        for n in range(number):
            for y in range(height):
                for x in range(width):
                    pair = (student[n, :, y, x] / temperature, teacher[n, :, y, x] / temperature)
                    pixels.append([v.exp() / v.exp().sum() for v in pair])
        inter = sum(1 - correlation(s, t) for s, t in pixels) / len(pixels)
        by_class = zip(*(torch.stack(side, 1) for side in zip(*pixels, strict=True)), strict=True)
        intra = sum(1 - correlation(s, t) for s, t in by_class) / classes
        return temperature**2 * (inter_weight * inter + intra_weight * intra)

    def test_feature_worked_by_hand(self):
        # Two classes, two pixels. Student 3/4 and 1/4, teacher 1/4 and 3/4 for the first: each pixel's classes and
        # each class's pixels are in the opposite order, every correlation is -1, both terms are 2.
        student = torch.tensor([[3.0, 1.0], [1.0, 3.0]]).log().view(1, 2, 1, 2)
        assert dist_loss(student, -student).item() == pytest.approx(4, abs=1e-5)
        assert dist_loss(student, -student, intra_weight=0.0).item() == pytest.approx(2, abs=1e-5)
        # Student 3/4, 3/4: no order among its pixels. Classes: right at one pixel, wrong at the other: (0 + 2) / 2.
        student = torch.tensor([[3.0, 3.0], [1.0, 1.0]]).log().view(1, 2, 1, 2)
        teacher = torch.tensor([[3.0, 1.0], [1.0, 3.0]]).log().view(1, 2, 1, 2)
        assert dist_loss(student, teacher).item() == pytest.approx(1 + 1, abs=1e-5)

    @pytest.mark.parametrize('tau', [1.0, 4.0])
    def test_equals_mmrazor_on_the_rows(self, tau):
        student, teacher = draw((2, 5, 6, 7), (2, 5, 6, 7))
        options = dict(inter_loss_weight=2.0, intra_loss_weight=0.5, tau=tau, loss_weight=3.0)
        theirs = mmrazor_losses().DISTLoss(**options)
        expected = value_and_gradient(lambda s, t: theirs(rows(s), rows(t)), student, teacher)
        for a, e in zip(value_and_gradient(DISTLoss(**options), student, teacher), expected, strict=True):
            assert_same(a, e, 1e-5)

    def test_flat_logits_give_a_finite_gradient(self):
        # mmrazor's is NaN: the norm of a centred flat vector is 0
        student, teacher = torch.zeros(1, 3, 2, 2), draw((1, 3, 2, 2))[0]
        loss, gradient = value_and_gradient(dist_loss, student, teacher)
        assert loss.item() == pytest.approx(2, abs=1e-5)
        assert torch.isfinite(gradient).all()

    def test_extreme_logits_give_finite_values_and_gradients(self):
        student, teacher = (1e4 * x for x in self.one_pair())
        loss, gradient = value_and_gradient(dist_loss, student, teacher)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()

    # mask

    def test_masked_pixels_do_not_count(self):
        student, teacher = draw((2, 4, 3, 5), (2, 4, 3, 5))
        mask = torch.zeros(2, 3, 5, dtype=torch.bool)
        mask[:, :2, 1:4] = True
        loss, gradient = value_and_gradient(dist_loss, student, teacher, mask=mask)
        torch.testing.assert_close(loss, dist_loss(student[:, :, :2, 1:4], teacher[:, :, :2, 1:4]))
        assert not gradient.masked_select(~mask[:, None]).any()
        empty, gradient = value_and_gradient(dist_loss, student, teacher, mask=torch.zeros_like(mask))
        assert empty == 0
        assert not gradient.any()

    def test_a_pixel_of_weight_two_counts_as_two(self):
        student, teacher = draw((1, 4, 2, 3), (1, 4, 2, 3))
        weights = torch.tensor([[[1.0, 2, 0], [1, 1, 1]]])
        columns = [0, 1, 1, 3, 4, 5]
        expected = dist_loss(*(x.flatten(2)[:, :, columns, None] for x in (student, teacher)))
        torch.testing.assert_close(dist_loss(student, teacher, mask=weights), expected, rtol=1e-5, atol=1e-6)

    def test_mask_of_another_size_is_refused(self):
        with pytest.raises(ValueError, match=r'mask is \(2, 6, 8\).*\(2, 3, 4\)'):
            dist_loss(*self.one_pair(), mask=torch.ones(2, 6, 8))

    @pytest.mark.parametrize('align', ['student', 'teacher'])
    def test_pixels_to_ignore_are_found_in_the_data_samples(self, align):
        student, teacher = draw((2, 4, 3, 5), (2, 4, 6, 10))
        size = (3, 5) if align == 'student' else (6, 10)
        labels, samples = class_maps((12, 20))
        loss = DISTLoss(ignore_index=255, align=align)
        step = 12 // size[0]
        expected = dist_loss(student, teacher, mask=labels[:, ::step, ::step] != 255, align=align)
        torch.testing.assert_close(loss(student, teacher, data_samples=samples), expected)
        levels = loss([student, student], [teacher, teacher], data_samples=samples)
        torch.testing.assert_close(levels, expected)
        with pytest.raises(ValueError, match='DIST loss with ignore_index: .* no gt_sem_seg'):
            loss(student, teacher, data_samples=[BaseDataElement()])
        mask = torch.rand(2, *size) > 0.3  # leaves out further pixels
        expected = dist_loss(student, teacher, mask=mask & (labels[:, ::step, ::step] != 255), align=align)
        torch.testing.assert_close(loss(student, teacher, mask=mask, data_samples=samples), expected)
