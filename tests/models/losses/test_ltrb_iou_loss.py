"""The box losses of FCOS on distances, against hand-worked values and the numbers of the original."""

import numpy as np
import pytest
import torch
from helpers.golden import golden_arrays
from mmdet.models.losses import GIoULoss

from mmkd.models.losses import LTRBIoULoss, ltrb_iou_loss
from mmkd.registry import MODELS

MODES = ('giou', 'iou', 'linear_iou')


@pytest.fixture(scope='module')
def units():
    return golden_arrays('centermask2/E_units')


def distances(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def boxes_as_in_the_original(units):
    return torch.from_numpy(units['ltrb_pred']), torch.from_numpy(units['ltrb_target'])


@pytest.mark.parametrize('mode', MODES)
def test_each_row_equals_the_original(units, mode):
    actual = ltrb_iou_loss(*boxes_as_in_the_original(units), mode=mode, reduction='none')
    np.testing.assert_allclose(actual, units[f'ltrb_loss_{mode}'], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('mode', MODES)
def test_weighted_sum_equals_the_original(units, mode):
    weight = torch.from_numpy(units['ltrb_weight'])
    actual = LTRBIoULoss(mode=mode, reduction='sum')(*boxes_as_in_the_original(units), weight=weight)
    np.testing.assert_allclose(actual, units[f'ltrb_wsum_{mode}'], rtol=1e-6)


def test_gradient_equals_the_original(units):
    pred, target = boxes_as_in_the_original(units)
    pred.requires_grad_()
    ltrb_iou_loss(pred[4:], target[4:], torch.from_numpy(units['ltrb_weight'])[4:], reduction='sum').backward()
    expected = units['ltrb_giou_grad_rows4on']
    rms = np.sqrt((expected**2).mean())
    np.testing.assert_allclose(pred.grad[4:], expected, rtol=0, atol=1e-5 * rms + 1e-6)


def test_value_worked_out_by_hand_where_the_giou_loss_of_mmdet_differs():
    # A 2 x 2 box inside a 4 x 4 one around the same point: intersection 4, union 16, enclosing box 16, hence
    # IoU* = (4 + 1) / (16 + 1) and no enclosure term. Without the smoothing it would be 1 - 4 / 16.
    pred, target = distances([1, 1, 1, 1]), distances([2, 2, 2, 2])
    assert ltrb_iou_loss(pred, target).item() == pytest.approx(1 - 5 / 17)
    assert ltrb_iou_loss(pred, target, mode='linear_iou').item() == pytest.approx(1 - 5 / 17)
    assert ltrb_iou_loss(pred, target, mode='iou').item() == pytest.approx(-np.log(5 / 17))
    corners = torch.tensor([-1, -1, 1, 1])
    assert GIoULoss()(pred * corners, target * corners).item() == pytest.approx(0.75)


def test_enclosure_term_worked_out_by_hand():
    # 1 x 1 boxes left above and right below of the point: no overlap, union 2, enclosing box 2 x 2.
    pred, target = distances([1, 1, 0, 0]), distances([0, 0, 1, 1])
    # IoU* = 1 / 3, enclosure (4 - 2) / 4
    assert ltrb_iou_loss(pred, target).item() == pytest.approx(1 - (1 / 3 - 1 / 2))


@pytest.mark.parametrize('mode', MODES)
def test_equal_boxes_cost_nothing_and_zero_boxes_are_finite(mode):
    same = distances([1, 2, 3, 4])
    assert ltrb_iou_loss(same, same, mode=mode).item() == pytest.approx(0)
    zero = torch.zeros(1, 4, dtype=torch.float64, requires_grad=True)
    loss = ltrb_iou_loss(zero, torch.zeros(1, 4, dtype=torch.float64), mode=mode)
    loss.backward()
    assert loss.item() == pytest.approx(0)
    assert zero.grad.isfinite().all()


@pytest.mark.parametrize('mode', MODES)
def test_gradcheck(mode):
    generator = torch.Generator().manual_seed(0)
    pred = torch.rand(6, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    target = torch.rand(6, 4, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda p: ltrb_iou_loss(p, target, mode=mode), pred)


@pytest.mark.parametrize('mode', MODES)
def test_no_boxes_give_zero_with_a_gradient(mode):
    pred = torch.zeros(0, 4, requires_grad=True)
    loss = LTRBIoULoss(mode=mode)(pred, torch.zeros(0, 4), weight=torch.zeros(0), avg_factor=1.0)
    assert loss.item() == 0
    loss.backward()
    assert pred.grad is not None


def test_half_precision_distances_are_compared_in_single():
    pred, target = torch.full((1, 4), 300.0), torch.full((1, 4), 310.0)  # areas of 360000: above the largest half
    expected = ltrb_iou_loss(pred, target)
    actual = ltrb_iou_loss(pred.half(), target.half())
    assert actual.dtype == torch.float32
    assert actual.item() == pytest.approx(expected.item())


def test_registered_and_weighted():
    loss = MODELS.build(dict(type='mmkd.LTRBIoULoss', mode='iou', loss_weight=2.0))
    pred, target = distances([1, 1, 1, 1], [2, 2, 2, 2]), distances([2, 2, 2, 2], [2, 2, 2, 2])
    # (-log(5/17) + 0) / 2 rows, times 2; with an average factor of 4 half of it
    assert loss(pred, target).item() == pytest.approx(-np.log(5 / 17))
    assert loss(pred, target, avg_factor=4.0).item() == pytest.approx(-np.log(5 / 17) / 2)
    assert loss(pred, target, reduction_override='none').shape == (2,)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="LTRBIoULoss.mode: .*'giou'.*got 'diou'"):
        LTRBIoULoss(mode='diou')
    with pytest.raises(ValueError, match=r'\(3, 4\).*\(2, 4\)'):
        ltrb_iou_loss(torch.rand(3, 4), torch.rand(2, 4))
