"""Pixel-wise distillation."""

import pytest
import torch
from helpers.class_maps import class_maps
from helpers.loss_tester import LossTester, assert_same, draw, golden_tensors, grid, mmrazor_losses, value_and_gradient

from mmkd.distillation.losses import PixelWiseLoss, pixel_wise_loss


class TestPixelWiseLoss(LossTester):
    function = staticmethod(pixel_wise_loss)
    module = PixelWiseLoss
    needed = dict(activation='softmax')
    shapes = [((2, 5, 3, 4),) * 2, ((1, 2, 1, 1),) * 2, ((3, 2, 2, 5),) * 2, ((2, 7, 1, 6),) * 2]
    options = [
        *grid(mode=('kl', 'ce'), activation=('softmax', 'sigmoid'), temperature=(1, 4.0)),
        *grid(reduction=('mean', 'batch_sum', 'class_mean', 'batchmean', 'sum'), temperature=(2.0,)),
        dict(legacy_unpermuted=True, mode='ce', reduction='batch_sum'),
    ]
    gradcheck_options = grid(mode=('kl', 'ce'), activation=('softmax', 'sigmoid'), temperature=(1, 3.0))
    bad_options = [
        (dict(mode='mse'), "mode: expected one of 'kl', 'ce', but got 'mse'"),
        (dict(activation='tanh'), "activation: .* 'tanh'"),
        (dict(reduction='avg'), "reduction: .* 'avg'"),
        (dict(align='both'), "align: .* 'both'"),
        (dict(temperature=0), 'temperature: expected a number above 0, but got 0'),
        (dict(temperature=float('nan')), 'temperature: expected a finite number above 0, but got nan'),
        (dict(temperature=float('inf')), 'temperature: expected a finite number above 0, but got inf'),
        (dict(temperature='warm'), "temperature: expected a number above 0, but got 'warm'"),
        (dict(legacy_unpermuted=True, activation='sigmoid'), "legacy_unpermuted needs activation='softmax'"),
    ]
    bad_shapes = [
        ((2, 20, 4, 4), (2, 80, 4, 4), r'classes.*student \(2, 20, 4, 4\), teacher \(2, 80, 4, 4\)'),
        ((2, 5, 4, 4), (1, 5, 4, 4), 'different batch sizes'),
        ((2, 5, 4, 4), (2, 5, 8, 8), "spatial sizes.*align='student'"),
        ((2, 5, 4, 4), (2, 5, 4), r'tokens \(N, L, C\)'),
        ((4,), (4,), r'\(N, C, \*\)'),
        ((2, 1, 4, 4), (2, 1, 4, 4), "one class is always 1 and teaches nothing.*activation='sigmoid'"),
    ]

    @staticmethod
    def naive(
        student, teacher, temperature=1, mode='kl', activation='softmax', reduction='mean', legacy_unpermuted=False
    ):
        number, classes, height, width = student.shape
        if legacy_unpermuted:  # rows of consecutive numbers, taken for pixels
            pixels = list(zip(student.flatten().split(classes), teacher.flatten().split(classes), strict=True))
        else:
            places = [(n, y, x) for n in range(number) for y in range(height) for x in range(width)]
            pixels = [(student[n, :, y, x], teacher[n, :, y, x]) for n, y, x in places]
        total = 0
        for s, t in pixels:
            s, t = s / temperature, t / temperature
            if activation == 'softmax':
                distributions = [(s.exp() / s.exp().sum(), t.exp() / t.exp().sum())]
            else:
                distributions = [(1 / (1 + (-a * s).exp()), 1 / (1 + (-a * t).exp())) for a in (1, -1)]
            for q, p in distributions:
                ratio = (p / q).log() if mode == 'kl' else -q.log()
                total = total + temperature**2 * (p * ratio).sum()
        divisor = dict(
            mean=number * height * width,
            batch_sum=height * width,
            class_mean=number * height * width * classes,
            batchmean=number,
            sum=1,
        )
        return total / divisor[reduction]

    @pytest.mark.parametrize('case', ['a', 'b'])
    def test_golden_of_the_released_code(self, case):
        arrays = golden_tensors()
        student, teacher = arrays[f'pixel_{case}_S'], arrays[f'pixel_{case}_T']
        loss, gradient = value_and_gradient(pixel_wise_loss, student, teacher, mode='ce', reduction='batch_sum')
        assert_same(loss.double(), arrays[f'pixel_{case}_loss'], 1e-5)
        assert_same(gradient, arrays[f'pixel_{case}_gradS'], 1e-5)
        # kl differs by the teacher's entropy, which has no gradient
        gradient = value_and_gradient(pixel_wise_loss, student, teacher, reduction='batch_sum')[1]
        assert_same(gradient, arrays[f'pixel_{case}_gradS'], 1e-5)

    def test_feature_softmax_worked_by_hand(self):
        # p = (3/4, 1/4), q = (1/2, 1/2): kl = 3/4 log 3/2 + 1/4 log 1/2 = 0.1308, ce = log 2 = 0.6931
        teacher = torch.tensor([3.0, 1.0]).log().view(1, 2, 1, 1).expand(2, 2, 3, 3)
        student = torch.zeros(2, 2, 3, 3)
        assert pixel_wise_loss(student, teacher).item() == pytest.approx(0.130812, abs=1e-6)
        assert pixel_wise_loss(student, teacher, mode='ce').item() == pytest.approx(0.693147, abs=1e-6)

    def test_feature_sigmoid_worked_by_hand(self):
        # two classes with p = (3/4, 1/2) against q = (1/2, 1/2): 0.1308 + 0
        teacher = torch.tensor([3.0, 1.0]).log().view(1, 2, 1, 1)
        student = torch.zeros(1, 2, 1, 1)
        loss = pixel_wise_loss(student, teacher, activation='sigmoid')
        assert loss.item() == pytest.approx(0.130812, abs=1e-6)

    def test_feature_temperature_keeps_the_size_of_the_gradient(self):
        # for flat distributions both gradients are (s - t) / C: dividing by T twice is made up for by T squared
        student, teacher = (0.01 * x for x in draw((2, 3, 2, 2), (2, 3, 2, 2)))
        small, large = (value_and_gradient(pixel_wise_loss, student, teacher, temperature=t)[1] for t in (1, 8))
        assert_same(large, small, 0.02)

    @pytest.mark.parametrize('activation', ['softmax', 'sigmoid'])
    @pytest.mark.parametrize('mode', ['kl', 'ce'])
    def test_extreme_logits_give_finite_values_and_gradients(self, activation, mode):
        student, teacher = (1e4 * x for x in draw((2, 4, 3, 3), (2, 4, 3, 3)))
        loss, gradient = value_and_gradient(pixel_wise_loss, student, teacher, activation=activation, mode=mode)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()

    def test_mean_does_not_depend_on_the_size_of_the_image(self):
        student, teacher = draw((1, 4, 3, 3), (1, 4, 3, 3))
        tiled = pixel_wise_loss(student.repeat(1, 1, 2, 5), teacher.repeat(1, 1, 2, 5))
        torch.testing.assert_close(tiled, pixel_wise_loss(student, teacher))

    def test_one_number_per_image_and_maps_of_other_dimensions(self):
        student, teacher = draw((4, 3, 2, 6), (4, 3, 2, 6))
        expected = pixel_wise_loss(student, teacher)
        flat = [x.flatten(2)[..., None, None] for x in (student, teacher)]
        torch.testing.assert_close(pixel_wise_loss(*flat), expected)
        rows = [x.permute(0, 2, 3, 1).reshape(-1, 3) for x in (student, teacher)]
        torch.testing.assert_close(pixel_wise_loss(*rows), expected)

    # mask

    @pytest.mark.parametrize('reduction', ['mean', 'batch_sum', 'class_mean', 'batchmean', 'sum'])
    def test_masked_pixels_do_not_count(self, reduction):
        student, teacher = draw((2, 4, 3, 5), (2, 4, 3, 5))
        mask = torch.zeros(2, 3, 5, dtype=torch.bool)
        mask[:, :2, 1:4] = True
        loss, gradient = value_and_gradient(pixel_wise_loss, student, teacher, mask=mask, reduction=reduction)
        inside = pixel_wise_loss(student[:, :, :2, 1:4], teacher[:, :, :2, 1:4], reduction=reduction)
        torch.testing.assert_close(loss, inside)
        assert not gradient.masked_select(~mask[:, None]).any()

    def test_mask_of_weights_is_a_weighted_mean(self):
        student, teacher = draw((1, 4, 1, 2), (1, 4, 1, 2))
        left, right = (pixel_wise_loss(student[..., i : i + 1], teacher[..., i : i + 1]) for i in (0, 1))
        loss = pixel_wise_loss(student, teacher, mask=torch.tensor([[[1.0, 3.0]]]))
        torch.testing.assert_close(loss, (left + 3 * right) / 4)

    def test_empty_mask_gives_zero_with_zero_gradient(self):
        student, teacher = self.one_pair()
        mask = torch.zeros(2, 3, 4, dtype=torch.bool)
        loss, gradient = value_and_gradient(pixel_wise_loss, student, teacher, mask=mask)
        assert loss == 0
        assert not gradient.any()

    def test_mask_of_another_size_is_refused(self):
        with pytest.raises(ValueError, match=r'mask is \(2, 6, 8\).*\(2, 3, 4\)'):
            pixel_wise_loss(*self.one_pair(), mask=torch.ones(2, 6, 8))
        with pytest.raises(ValueError, match='takes no mask'):
            pixel_wise_loss(*self.one_pair(), mask=torch.ones(2, 3, 4), legacy_unpermuted=True)

    def test_module_takes_one_mask_for_each_level(self):
        pairs = [draw((2, 4, size, size), (2, 4, size, size)) for size in (4, 2)]
        masks = [torch.rand(2, size, size) > 0.5 for size in (4, 2)]
        expected = sum(pixel_wise_loss(*pair, mask=mask) for pair, mask in zip(pairs, masks, strict=True)) / 2
        loss = PixelWiseLoss(activation='softmax')(*map(list, zip(*pairs, strict=True)), mask=masks)
        torch.testing.assert_close(loss, expected)

    # sizes

    @pytest.mark.parametrize('align_corners', [False, True])
    def test_align_resizes_one_of_the_maps(self, align_corners):
        student, teacher = draw((2, 4, 8, 6), (2, 4, 5, 7))
        resize = dict(mode='bilinear', align_corners=align_corners)
        small_teacher = torch.nn.functional.interpolate(teacher, (8, 6), **resize)
        loss = pixel_wise_loss(student, teacher, align='student', align_corners=align_corners)
        torch.testing.assert_close(loss, pixel_wise_loss(student, small_teacher))
        resized_student = torch.nn.functional.interpolate(student, (5, 7), **resize)
        loss = pixel_wise_loss(student, teacher, align='teacher', align_corners=align_corners)
        torch.testing.assert_close(loss, pixel_wise_loss(resized_student, teacher))

    def test_batchmean_equals_mmrazor(self):
        student, teacher = self.one_pair()
        theirs = mmrazor_losses().KLDivergence(tau=2.0, reduction='batchmean')(student, teacher)
        torch.testing.assert_close(
            pixel_wise_loss(student, teacher, temperature=2.0, reduction='batchmean'), theirs, rtol=1e-5, atol=0
        )

    # one class

    def test_one_class_is_learned_with_a_sigmoid(self):
        student, teacher = draw((2, 1, 4, 4), (2, 1, 4, 4))
        for options in ({}, dict(mode='ce'), dict(legacy_unpermuted=True)):
            with pytest.raises(ValueError, match='one class is always 1 and teaches nothing'):
                pixel_wise_loss(student, teacher, **options)
        loss, gradient = value_and_gradient(pixel_wise_loss, student, teacher, activation='sigmoid')
        assert loss > 0 and gradient.any()

    # activation

    def test_auto_is_the_default_and_no_guess(self):
        loss = PixelWiseLoss()
        assert loss.activation == 'auto'
        with pytest.raises(ValueError, match="activation='auto' is read from the student's head .* write activation="):
            loss(*self.one_pair())
        loss.activation = 'sigmoid'  # as the algorithm does
        student, teacher = self.one_pair()
        assert torch.equal(loss(student, teacher), pixel_wise_loss(student, teacher, activation='sigmoid'))
        with pytest.raises(ValueError, match="activation: .* 'tanh'"):
            loss.activation = 'tanh'
        assert PixelWiseLoss(legacy_unpermuted=True).activation == 'softmax'  # it knows no other

    # ignored pixels

    @pytest.mark.parametrize('align', ['student', 'teacher'])
    def test_pixels_to_ignore_are_found_in_the_data_samples(self, align):
        student, teacher = draw((2, 4, 3, 5), (2, 4, 6, 10))
        labels, samples = class_maps((12, 20))
        loss = PixelWiseLoss(activation='softmax', ignore_index=255, align=align)
        step = 4 if align == 'student' else 2
        counts = labels[:, ::step, ::step] != 255
        expected = pixel_wise_loss(student, teacher, mask=counts, align=align)
        assert not torch.equal(expected, pixel_wise_loss(student, teacher, align=align))
        torch.testing.assert_close(loss(student, teacher, data_samples=samples), expected)
        torch.testing.assert_close(loss([student] * 2, [teacher] * 2, data_samples=samples), expected)
        mask = torch.rand(counts.shape) > 0.3
        expected = pixel_wise_loss(student, teacher, mask=counts & mask, align=align)
        torch.testing.assert_close(loss(student, teacher, mask=mask, data_samples=samples), expected)
        with pytest.raises(ValueError, match='pixel-wise loss with ignore_index: .* there are none of these images'):
            loss(student, teacher, data_samples=[])

    @pytest.mark.parametrize('boundary_of', ['teacher', 'label'])
    def test_pixels_to_ignore_do_not_count_with_weighted_borders_either(self, boundary_of):
        student, teacher = draw((2, 4, 6, 10), (2, 4, 6, 10))
        labels, samples = class_maps((6, 10))
        loss = PixelWiseLoss(activation='softmax', ignore_index=255, boundary_weight=3.0, boundary_of=boundary_of)
        _, gradient = value_and_gradient(loss, student, teacher, data_samples=samples)
        ignored = (labels == 255)[:, None].expand_as(gradient)
        assert not gradient[ignored].any() and gradient[~ignored].all()
