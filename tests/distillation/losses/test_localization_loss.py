"""Localisation distillation."""

import pytest
import torch
from helpers.loss_tester import LossTester, assert_same, draw, grid, value_and_gradient
from torch.nn import functional as F

from mmkd.distillation.losses import LocalizationDistillationLoss, localization_distillation_loss
from mmkd.distillation.losses.context import takes_all_levels


class TestLocalizationDistillationLoss(LossTester):
    function = staticmethod(localization_distillation_loss)
    module = LocalizationDistillationLoss
    shapes = [((2, 12, 3, 4),) * 2, ((1, 8, 1, 1),) * 2, ((3, 20, 2, 5),) * 2]
    options = grid(temperature=(1, 10.0))
    gradcheck_options = options
    bad_options = [
        (dict(temperature=0), 'temperature: expected a number above 0, but got 0'),
        (dict(align='both'), "align: .* 'both'"),
    ]
    bad_shapes = [
        ((2, 10, 4, 4), (2, 10, 4, 4), r'expected logits \(N, 4 \* \(reg_max \+ 1\), H, W\)'),
        ((2, 4, 4, 4), (2, 4, 4, 4), r'expected logits \(N, 4 \* \(reg_max \+ 1\), H, W\)'),
        ((2, 12, 4), (2, 12, 4), r'tokens \(N, L, C\)'),
        ((2, 12, 4, 4), (2, 16, 4, 4), r'channels.*teacher \(2, 16, 4, 4\)'),
        ((2, 12, 4, 4), (2, 12, 8, 8), "spatial sizes.*align='student'"),
    ]

    @staticmethod
    def naive(student, teacher, temperature=10.0, weight=None):
        number, channels, height, width = student.shape
        bins = channels // 4
        total = norm = 0
        for n in range(number):
            for y in range(height):
                for x in range(width):
                    w = 1 if weight is None else weight[n, y, x]
                    norm = norm + w
                    for edge in range(4):
                        s, t = (v[n, edge * bins : (edge + 1) * bins, y, x] / temperature for v in (student, teacher))
                        q, p = s.exp() / s.exp().sum(), t.exp() / t.exp().sum()
                        total = total + w * temperature**2 * (p * (p / q).log()).sum() / 4
        return total / norm

    def test_feature_worked_by_hand(self):
        # p = (3/4, 1/4), q = (1/2, 1/2) at the left edge: 3/4 log 3/2 + 1/4 log 1/2 = 0.1308; the three others agree
        teacher = torch.zeros(1, 8, 1, 1)
        teacher[0, 0] = torch.tensor(3.0).log()
        loss = localization_distillation_loss(torch.zeros(1, 8, 1, 1), teacher, temperature=1.0)
        assert loss.item() == pytest.approx(0.130812 / 4, abs=1e-6)

    def test_weighted_locations_equal_the_naive_formula(self):
        student, teacher = draw((2, 12, 3, 4), (2, 12, 3, 4), dtype=torch.float64)
        weight = torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        weight[0, 0] = 0
        expected = value_and_gradient(lambda s, t: self.naive(s, t, weight=weight), student, teacher)
        actual = value_and_gradient(localization_distillation_loss, student, teacher, weight=weight)
        for a, e in zip(actual, expected, strict=True):
            assert_same(a, e, 1e-9)
        empty, gradient = value_and_gradient(
            localization_distillation_loss, student, teacher, weight=torch.zeros_like(weight)
        )
        assert empty == 0 and not gradient.any()

    @pytest.mark.parametrize('temperature', [1, 10])
    def test_equals_mmdet_where_all_locations_count(self, temperature):
        from mmdet.models.losses import KnowledgeDistillationKLDivLoss

        def rows(x):
            return x.permute(0, 2, 3, 1).reshape(-1, 17)

        student, teacher = draw((2, 68, 3, 4), (2, 68, 3, 4))
        theirs = KnowledgeDistillationKLDivLoss(loss_weight=0.25, T=temperature)
        expected = value_and_gradient(lambda s, t: theirs(rows(s), rows(t)), student, teacher)
        ours = LocalizationDistillationLoss(temperature=temperature, loss_weight=0.25 / 17)
        for a, e in zip(value_and_gradient(ours, student, teacher), expected, strict=True):
            assert_same(a, e, 1e-4)

    def test_locations_count_by_the_teachers_best_score(self):
        student, teacher, scores = draw((2, 12, 3, 4), (2, 12, 3, 4), (2, 5, 3, 4))
        loss = LocalizationDistillationLoss(score_power=2.0, loss_weight=3.0)
        weight = scores.sigmoid().amax(1) ** 2
        expected = 3 * localization_distillation_loss(student, teacher, weight=weight)
        torch.testing.assert_close(loss(student, teacher, scores_T=scores), expected)
        torch.testing.assert_close(loss([student] * 2, [teacher] * 2, scores_T=[scores] * 2), expected)
        scores = torch.full_like(scores, -30.0)
        scores[0, 2, 1, 1] = 30  # only there is an object
        alone = localization_distillation_loss(student[:1, :, 1:2, 1:2], teacher[:1, :, 1:2, 1:2])
        torch.testing.assert_close(loss(student, teacher, scores_T=scores), 3 * alone)

    @pytest.mark.parametrize('align', ['student', 'teacher'])
    def test_unequal_sizes_are_aligned_with_their_scores(self, align):
        student, teacher, scores = draw((2, 12, 3, 4), (2, 12, 5, 7), (2, 5, 5, 7))
        size = (3, 4) if align == 'student' else (5, 7)
        sized = [F.interpolate(x, size, mode='bilinear') for x in (student, teacher)]
        weight = F.interpolate(scores.sigmoid().amax(1, keepdim=True), size, mode='bilinear')[:, 0]
        loss = LocalizationDistillationLoss(align=align)(student, teacher, scores_T=scores)
        torch.testing.assert_close(loss, localization_distillation_loss(*sized, weight=weight))

    def test_scores_that_do_not_fit_are_refused(self):
        student, teacher = self.one_pair()
        loss = LocalizationDistillationLoss()
        with pytest.raises(ValueError, match=r'weight is \(2, 6, 6\), expected \(N, H, W\) = \(2, 3, 4\)'):
            loss(student, teacher, scores_T=torch.zeros(2, 5, 6, 6))
        with pytest.raises(ValueError, match='scores_T is 1 levels, the edges are 2 levels'):
            loss([student] * 2, [teacher] * 2, scores_T=[torch.zeros(2, 5, 3, 4)])
        with pytest.raises(ValueError, match='scores_T is 1 levels, the edges are one tensor'):
            loss(student, teacher, scores_T=[torch.zeros(2, 5, 3, 4)])
        with pytest.raises(ValueError, match='score_power'):
            LocalizationDistillationLoss(score_power=0)

    # levels

    @pytest.mark.parametrize('weighted', [True, False])
    def test_all_levels_have_one_denominator(self, weighted):
        """As the paper has it, against a loop over the locations of all levels."""
        shapes = [(2, 12, 4, 4), (2, 12, 2, 2), (2, 12, 1, 1)]
        students, teachers = (draw(*shapes, seed=seed, dtype=torch.float64) for seed in (0, 1))
        scores = draw(*((n, 5, h, w) for n, _, h, w in shapes), seed=2, dtype=torch.float64)
        weights = [3 * s.sigmoid().amax(1) ** 0.5 if weighted else s.new_ones(s[:, 0].shape) for s in scores]
        if weighted:
            scores[1] -= 1000  # a level without objects
            weights[1] *= 0

        def naive(*levels):
            total = weight = 0
            for s, t, w in zip(levels, teachers, weights, strict=True):
                for n in range(len(s)):
                    for y in range(s.shape[2]):
                        for x in range(s.shape[3]):
                            place = s[n : n + 1, :, y : y + 1, x : x + 1], t[n : n + 1, :, y : y + 1, x : x + 1]
                            total = total + w[n, y, x] * self.naive(*place)
                            weight = weight + w[n, y, x]
            return 0.25 * total / weight

        module = LocalizationDistillationLoss(score_power=0.5, loss_weight=0.25)
        more = dict(scores_T=scores) if weighted else {}
        students = [s.requires_grad_() for s in students]
        expected = naive(*students)
        for loss in (module(students, teachers, **more), module(tuple(students), teachers, **more)):
            assert_same(loss, expected, 1e-6)  # the scores are float32
            for a, e in zip(
                torch.autograd.grad(loss, students),
                torch.autograd.grad(expected, students, retain_graph=True),
                strict=True,
            ):
                assert_same(a, e, 1e-6) if e.any() else torch.testing.assert_close(a, e)

    def test_a_level_without_objects_takes_nothing_from_the_others(self):
        student, teacher, scores = draw((2, 12, 3, 4), (2, 12, 3, 4), (2, 5, 3, 4))
        loss = LocalizationDistillationLoss()
        alone = value_and_gradient(loss, student, teacher, scores_T=scores)
        none = torch.full_like(scores, -1000.0)
        for levels in range(2, 5):
            value, gradient = value_and_gradient(
                lambda s, t, levels=levels: loss(
                    [s] + [student] * (levels - 1), [t] * levels, scores_T=[scores] + [none] * (levels - 1)
                ),
                student,
                teacher,
            )
            torch.testing.assert_close(value, alone[0])
            torch.testing.assert_close(gradient, alone[1])

    def test_no_objects_at_all_give_zero_with_zero_gradient(self):
        student, teacher = self.one_pair()
        none = [torch.full((2, 5, 3, 4), -1000.0)] * 2
        loss = LocalizationDistillationLoss()
        value, gradient = value_and_gradient(lambda s, t: loss([s, s], [t, t], scores_T=none), student, teacher)
        assert value == 0 and not gradient.any()

    def test_the_algorithm_hands_over_all_levels_at_once(self):
        assert takes_all_levels(LocalizationDistillationLoss())
