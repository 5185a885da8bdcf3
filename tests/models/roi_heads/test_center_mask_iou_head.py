"""Targets, loss and scores of the mask IoU head, and where mmdet's head gives something else."""

import pytest
import torch
import torch.nn.functional as F
from helpers.golden import golden_arrays
from helpers.roi_head_cases import (
    TRAIN_GOLDEN,
    Positives,
    golden_positives,
    rectangle,
    to_bitmaps,
    unit_arrays,
    unit_polygons,
)
from mmdet.models.roi_heads.mask_heads import MaskIoUHead
from mmdet.structures.mask import PolygonMasks
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmkd.models.roi_heads.mask_heads import CenterMaskIoUHead
from mmkd.models.roi_heads.mask_heads.center_mask_iou_head import mask_iou_targets
from mmkd.models.roi_heads.mask_targets import mask_targets, visible_area_ratios


def make_head(cls=CenterMaskIoUHead, **kwargs):
    cfg = dict(num_convs=2, in_channels=4, conv_out_channels=4, fc_out_channels=8, num_classes=3)
    return cls(**{**cfg, **kwargs})


def unit_case():
    """Logits of the gt class, rasters, and what get_targets reads, of the six golden instances."""
    arrays = unit_arrays('miou')
    logits = torch.from_numpy(arrays['mask_logits'])[torch.arange(6), torch.from_numpy(arrays['classes'])]
    raster = torch.from_numpy(arrays['raster']).float()
    return logits, raster, [Positives(arrays['boxes'])], [InstanceData(masks=unit_polygons())], arrays


def test_targets_of_the_golden_units():
    logits, raster, positives, gts, arrays = unit_case()
    targets = make_head().get_targets(positives, gts, logits, raster, None)
    assert targets.dtype == torch.float64
    assert targets.tolist() == pytest.approx(arrays['target'].tolist(), rel=1e-9)
    plain = make_head(MaskIoUHead).get_targets(positives, gts, logits, raster, ConfigDict(mask_thr_binary=0.5))
    assert plain.tolist() != pytest.approx(arrays['target'].tolist(), rel=1e-2)


def test_targets_of_the_golden_training_step():
    arrays = golden_arrays(TRAIN_GOLDEN)
    targets, start = [], 0
    for masks, boxes, gt_inds, raster in golden_positives():
        logits = torch.from_numpy(arrays['fg_mask_logits'][start : start + len(boxes)])
        ratios = visible_area_ratios(masks, boxes, gt_inds)
        targets += mask_iou_targets(logits, torch.from_numpy(raster), ratios).tolist()
        start += len(boxes)
    assert start == 34
    assert targets == pytest.approx(arrays['fg_maskiou_target'].tolist(), rel=1e-9)


def test_target_worked_out_by_hand():
    """200 cells predicted, 300 in the RoI, 180 in both, 0.8 of the instance in the RoI: 180 / (200 + 375 - 180)."""
    logits, target = torch.full((1, 28 * 28), -1.0), torch.zeros(1, 28 * 28)
    logits[:, :200], target[:, 20:320] = 1.0, 1.0
    found = mask_iou_targets(logits.view(1, 28, 28), target.view(1, 28, 28), torch.tensor([0.8]))
    assert found.item() == pytest.approx(180 / 395)


def test_prediction_is_foreground_above_logit_zero():
    """Logit 0.3 is a probability of 0.57. mmdet asks for logits above 0.5, a probability of 0.62."""
    logits, target = torch.full((1, 28, 28), 0.3), torch.ones(1, 28, 28)
    gts = [InstanceData(masks=PolygonMasks([[rectangle(0, 0, 8, 8)]], 9, 9))]
    args = ([Positives([[0.0, 0, 8, 8]])], gts, logits, target, ConfigDict(mask_thr_binary=0.5))
    assert make_head().get_targets(*args).item() == 1
    assert make_head(MaskIoUHead).get_targets(*args).item() == 0
    assert mask_iou_targets(torch.zeros(1, 28, 28), target, torch.ones(1)).item() == 0


def test_nothing_predicted_and_nothing_there_is_no_division_by_zero():
    none = torch.zeros(2, 28, 28)
    assert mask_iou_targets(none - 1, none, torch.tensor([0.0, 1.0])).tolist() == [0, 0]


def test_loss_of_the_golden_units():
    arrays = unit_arrays('miou')
    predicted = torch.from_numpy(arrays['pred'])[torch.arange(6), torch.from_numpy(arrays['classes'])]
    loss = make_head().loss(predicted, torch.from_numpy(arrays['target']))
    assert loss.item() == pytest.approx(arrays['loss'].item(), rel=1e-6)
    assert make_head().loss(predicted, torch.zeros(6)).item() == arrays['loss_zero_target'] == 0


def test_loss_of_the_golden_training_step():
    arrays = golden_arrays(TRAIN_GOLDEN)
    predicted, targets = torch.from_numpy(arrays['fg_maskiou_pred']), torch.from_numpy(arrays['fg_maskiou_target'])
    assert make_head().loss(predicted, targets).item() == pytest.approx(arrays['loss_maskiou'].item(), rel=1e-6)


def test_loss_leaves_out_targets_of_zero():
    # 0.5 * ((1 - 0.5)^2 + (0.25 - 0.5)^2) / 2
    loss = make_head().loss(torch.tensor([1.0, 7.0, 0.25]), torch.tensor([0.5, 0.0, 0.5]))
    assert loss.item() == pytest.approx(0.5 * (0.25 + 0.0625) / 2)


def test_input_is_the_feature_and_the_pooled_probability():
    torch.manual_seed(0)
    head = make_head()
    features, logits = torch.randn(3, 4, 14, 14), torch.randn(3, 28, 28)
    x = torch.cat([features, F.max_pool2d(logits.sigmoid()[:, None], 2)], dim=1)
    x = F.relu(F.conv2d(x, head.convs[0].weight, head.convs[0].bias, padding=1))
    x = F.relu(F.conv2d(x, head.convs[1].weight, head.convs[1].bias, stride=2, padding=1)).flatten(1)
    assert x.shape[1] == 4 * 7 * 7
    for fc in head.fcs:
        x = F.relu(F.linear(x, fc.weight, fc.bias))
    x = F.linear(x, head.fc_mask_iou.weight, head.fc_mask_iou.bias)
    assert torch.allclose(head(features, logits), x, atol=1e-6)


def test_gradients_flow_into_features_and_mask_logits():
    torch.manual_seed(0)
    head = make_head()
    features = torch.randn(2, 4, 14, 14, requires_grad=True)
    logits = torch.randn(2, 28, 28, requires_grad=True)
    head.loss(head(features, logits)[:, 0], torch.full((2,), 0.7)).backward()
    assert features.grad.abs().sum() > 0
    assert logits.grad.abs().sum() > 0


@pytest.mark.parametrize('channels,convs,count', [(256, 4, 16340304), (128, 2, 7851472)], ids=['standard', 'lite'])
def test_number_of_parameters(channels, convs, count):
    head = CenterMaskIoUHead(num_convs=convs, in_channels=channels, conv_out_channels=channels)
    assert sum(parameter.numel() for parameter in head.parameters()) == count


def test_initial_weights():
    torch.manual_seed(0)
    head = make_head(conv_out_channels=32, fc_out_channels=64, num_classes=80)
    head.init_weights()
    assert head.convs[1].weight.std().item() == pytest.approx((2 / (32 * 9)) ** 0.5, rel=0.05)
    assert head.fcs[0].weight.std().item() == pytest.approx((2 / 64) ** 0.5, rel=0.05)
    assert head.fc_mask_iou.weight.std().item() == pytest.approx(0.01, rel=0.05)


def test_mask_scores_stand_beside_scores():
    """mmdet overwrites scores, by which boxes are ranked too."""
    make_results = lambda: InstanceData(scores=torch.tensor([0.8, 0.6]), labels=torch.tensor([2, 0]))  # noqa: E731
    mask_ious = (torch.tensor([[9.0, 9.0, 0.5], [1.5, 9.0, 9.0]]),)
    (results,) = make_head().predict_by_feat(mask_ious, [make_results()])
    assert results.scores.tolist() == pytest.approx([0.8, 0.6])
    assert results.mask_scores.tolist() == pytest.approx([0.4, 0.9])  # the predicted IoU is not bounded
    (plain,) = make_head(MaskIoUHead).predict_by_feat(mask_ious, [make_results()])
    assert plain.scores.tolist() == pytest.approx([0.4, 0.9])


def test_bitmaps_give_nearly_the_targets_of_polygons():
    """The original stops with an error on bitmaps."""
    arrays = golden_arrays(TRAIN_GOLDEN)
    masks, boxes, gt_inds, _ = next(golden_positives())
    logits = torch.from_numpy(arrays['fg_mask_logits'][: len(boxes)])
    found = []
    for kind in (masks, to_bitmaps(masks)):
        raster = mask_targets(kind, boxes, gt_inds, 28)
        found.append(mask_iou_targets(logits, raster, visible_area_ratios(kind, boxes, gt_inds)))
    assert (found[0] - found[1]).abs().max() < 0.02
