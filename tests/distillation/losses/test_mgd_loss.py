"""MGD's loss."""

import pytest
import torch
from helpers.loss_tester import LossTester, assert_same, draw, grid, mmrazor_losses, value_and_gradient

from mmkd.distillation.losses import MGDLoss, mgd_loss


class TestMGDLoss(LossTester):
    function = staticmethod(mgd_loss)
    module = MGDLoss
    shapes = [((2, 5, 3, 4),) * 2, ((1, 3, 2, 2),) * 2, ((3, 1, 2, 5),) * 2]
    options = grid(reduction=('mean', 'batch_sum'))
    gradcheck_options = options
    bad_options = [(dict(reduction='sum'), "reduction: .* 'sum'"), (dict(align='both'), "align: .* 'both'")]
    bad_shapes = [
        ((2, 5, 4, 4), (2, 6, 4, 4), r'channels.*teacher \(2, 6, 4, 4\).*connector'),
        ((2, 5, 4, 4), (2, 5, 8, 8), "spatial sizes.*align='student'"),
    ]

    @staticmethod
    def naive(student, teacher, reduction='mean'):
        total = sum((s - t) ** 2 for s, t in zip(student.flatten(), teacher.flatten(), strict=True))
        return total / (student.numel() if reduction == 'mean' else student.shape[0])

    def test_equals_mmrazor_as_a_sum(self):
        student, teacher = self.one_pair()
        theirs = value_and_gradient(mmrazor_losses().MGDLoss(alpha_mgd=3e-5), student, teacher)
        ours = value_and_gradient(MGDLoss(alpha_mgd=3e-5), student, teacher)
        as_mean = value_and_gradient(MGDLoss(loss_weight=3e-5 * 5 * 3 * 4), student, teacher)
        for what, t, o, m in zip(('value', 'gradient'), theirs, ours, as_mean, strict=True):
            assert_same(o, t, 1e-5, what)
            assert_same(m, t, 1e-5, what)

    @pytest.mark.parametrize('align', ['student', 'teacher'])
    def test_gradcheck_at_unequal_sizes(self, align):
        student, teacher = draw((1, 2, 3, 4), (1, 2, 5, 3), dtype=torch.float64)
        assert torch.autograd.gradcheck(lambda s: mgd_loss(s, teacher, align=align), student.requires_grad_())
