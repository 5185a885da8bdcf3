"""The box head of CenterMask: its network, and its losses against the formulas and where mmdet's FCOS differs."""

import math

import pytest
import torch
from helpers.fcos_heads import META, POST, STRIDES, features, plain_fcos_head, sample, small_head
from mmengine.config import ConfigDict

from mmkd.models.dense_heads import CenterMaskFCOSHead
from mmkd.registry import MODELS

# --- network ---------------------------------------------------------------------------------------------------------


def test_regression_is_in_strides_while_training_and_while_testing():
    """mmdet's FCOS multiplies by the stride in eval mode only: its training proposals are 8 to 128 times too small."""
    ours, theirs, x = small_head(), plain_fcos_head(), features()
    theirs.load_state_dict(ours.state_dict())
    with torch.no_grad():
        for head in (ours, theirs):
            head.conv_reg.bias.fill_(2.0)
        (_, train, _), (_, test, _) = ours.train()(x), ours.eval()(x)
        _, mmdet_train, _ = theirs.train()(x)
        _, mmdet_test, _ = theirs.eval()(x)
    for level, stride in enumerate(STRIDES):
        assert torch.equal(train[level], test[level])
        assert torch.equal(train[level], mmdet_train[level])
        assert torch.allclose(mmdet_test[level], mmdet_train[level] * stride)


def test_initialisation_is_that_of_the_paper():
    head = small_head(in_channels=64, feat_channels=64)
    head.init_weights()
    assert head.conv_cls.bias.mean().item() == pytest.approx(-math.log(0.99 / 0.01), rel=1e-5)
    for conv in (head.conv_cls, head.conv_reg, head.conv_centerness, head.cls_convs[0].conv, head.reg_convs[0].conv):
        assert conv.weight.std().item() == pytest.approx(0.01, rel=0.1)
    assert [scale.scale.item() for scale in head.scales] == [1.0] * 5
    assert head.cls_convs[0].conv.bias is not None


def test_lite_and_large_heads_have_the_published_number_of_parameters():
    # 128 channels, 2 + 2 convolutions, and 256 channels, 4 + 4 convolutions, 80 classes each
    for channels, convs, expected in ((128, 2, 689_370), (256, 4, 4_920_666)):
        head = CenterMaskFCOSHead(80, channels, feat_channels=channels, stacked_convs=convs)
        assert sum(p.numel() for p in head.parameters()) == expected


# --- training --------------------------------------------------------------------------------------------------------


def test_training_proposals_are_boxes_in_pixels_as_found_in_eval_mode():
    head, x, samples = small_head(), features(), [sample([[20, 20, 60, 60]], [1])]
    with torch.no_grad():
        head.conv_cls.bias.fill_(0.0)
        head.conv_reg.bias.fill_(2.0)
    proposal_cfg = ConfigDict(POST | dict(max_per_img=100))
    losses, proposals = head.train().loss_and_predict(x, samples, proposal_cfg=proposal_cfg)
    assert set(losses) == {'loss_cls', 'loss_bbox', 'loss_centerness'}
    assert len(proposals[0]) == 100
    assert not proposals[0].bboxes.requires_grad and not proposals[0].scores.requires_grad
    (tested,) = head.eval().predict_by_feat(*head(x), [s.metainfo for s in samples], cfg=proposal_cfg)
    assert torch.equal(proposals[0].bboxes, tested.bboxes)
    # The same network in mmdet: proposals of a few pixels, however large the objects.
    mmdet = plain_fcos_head()
    mmdet.load_state_dict(head.state_dict())
    _, mmdet_proposals = mmdet.train().loss_and_predict(x, samples, proposal_cfg=proposal_cfg)
    sides = [(p.bboxes[:, 2:] - p.bboxes[:, :2]).max().item() for p in (proposals[0], mmdet_proposals[0])]
    assert sides[0] > 100 > 8 > sides[1]


def test_losses_equal_the_formulas_of_the_paper_written_out():
    head = small_head().train()
    x = features(batch=2)
    boxes = torch.tensor([[20.0, 20, 60, 60], [5, 30, 140, 120], [70, 10, 100, 50]])
    samples = [sample(boxes[:2], [1, 2]), sample(boxes[2:], [0])]
    losses = head.loss(x, samples)
    outputs = head(x)
    points = head.prior_generator.grid_priors([o.shape[-2:] for o in outputs[0]], device='cpu')
    labels, targets = head.get_targets(points, [s.gt_instances for s in samples])
    focal, box, centre, positives, centre_sum = (0.0,) * 5
    for level in range(5):
        cls_score, bbox_pred, centerness = (
            o[level].detach().permute(0, 2, 3, 1).flatten(0, 2).double() for o in outputs
        )
        for row, label in enumerate(labels[level].tolist()):
            for c in range(3):
                p = cls_score[row, c].sigmoid()
                focal += -0.25 * (1 - p) ** 2 * p.log() if c == label else -0.75 * p**2 * (1 - p).log()
            if label == 3:
                continue
            l, t, r, b = targets[level][row].double()
            pl, pt, pr, pb = bbox_pred[row]
            weight = (min(l, r) / max(l, r) * min(t, b) / max(t, b)) ** 0.5
            inter = (min(l, pl) + min(r, pr)) * (min(t, pt) + min(b, pb))
            union = (l + r) * (t + b) + (pl + pr) * (pt + pb) - inter
            hull = (max(l, pl) + max(r, pr)) * (max(t, pt) + max(b, pb))
            box += weight * (1 - (inter + 1) / (union + 1) + (hull - union) / hull)
            p = centerness[row, 0].sigmoid()
            centre += -(weight * p.log() + (1 - weight) * (1 - p).log())
            positives, centre_sum = positives + 1, centre_sum + weight
    assert positives > 20
    assert losses['loss_cls'].item() == pytest.approx(float(focal / positives), rel=1e-5)
    assert losses['loss_bbox'].item() == pytest.approx(float(box / centre_sum), rel=1e-5)
    assert losses['loss_centerness'].item() == pytest.approx(float(centre / positives), rel=1e-5)


@pytest.mark.parametrize('boxes', [[], [[3.0, 3, 3.5, 3.5]]], ids=['no objects', 'no positives'])
def test_batches_without_positives_give_zero_box_losses_and_a_gradient_for_every_parameter(boxes):
    head = small_head().train()
    x = features(batch=2)
    losses = head.loss(x, [sample(boxes, [0] * len(boxes)), sample([], [])])
    assert losses['loss_bbox'].item() == losses['loss_centerness'].item() == 0
    # The focal loss of the background is summed and divided by one, not by the number of positives.
    probabilities = torch.cat([level.detach().flatten() for level in head(x)[0]]).double().sigmoid()
    background = (-0.75 * probabilities**2 * (1 - probabilities).log()).sum()
    assert losses['loss_cls'].item() == pytest.approx(background.item(), rel=1e-5)
    sum(losses.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())


def test_losses_are_divided_by_the_mean_over_all_processes(monkeypatch):
    """One process has this batch, the other has nothing: the mean number of positives is half of it."""
    head, x, samples = small_head().train(), features(), [sample([[20, 20, 60, 60]], [1])]
    alone = head.loss(x, samples)
    calls = []

    def half(tensor):
        calls.append(tensor)
        return tensor / 2

    monkeypatch.setattr('mmkd.models.dense_heads.center_mask_fcos_head.reduce_mean', half)
    shared = head.loss(x, samples)
    assert len(calls) == 1
    for name in alone:
        assert shared[name].item() == pytest.approx(2 * alone[name].item(), rel=1e-5)


def test_losses_and_boxes_are_computed_in_single_precision_under_autocast():
    head, x, samples = small_head().train(), features(), [sample([[20, 20, 60, 60]], [1])]
    with torch.autocast('cpu', dtype=torch.bfloat16):
        outputs = head(x)
        assert outputs[0][0].dtype == torch.bfloat16
        losses, proposals = head.loss_and_predict(x, samples, ConfigDict(POST | dict(score_thr=0.0)))
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
    assert proposals[0].bboxes.dtype == proposals[0].scores.dtype == torch.float32
    # From the same low-precision logits the same figures come out as without autocast.
    metas, instances = [s.metainfo for s in samples], [s.gt_instances for s in samples]
    expected = head.loss_by_feat(*[[o.float() for o in kind] for kind in outputs], instances, metas)
    for name in losses:
        assert losses[name].item() == pytest.approx(expected[name].item(), rel=1e-6)
    sum(losses.values()).backward()
    assert all(p.grad.isfinite().all() for p in head.parameters())


def test_box_losses_of_mmdet_work_and_see_boxes_rather_than_distances():
    x, samples = features(), [sample([[20, 20, 60, 60], [5, 30, 140, 120]], [1, 2])]
    ours = small_head(loss_bbox=dict(type='GIoULoss')).train()
    mmdet = plain_fcos_head(loss_bbox=dict(type='GIoULoss')).train()
    mmdet.load_state_dict(ours.state_dict())
    expected, actual = mmdet.loss(x, samples), ours.loss(x, samples)
    for name in expected:
        assert actual[name].item() == pytest.approx(expected[name].item(), rel=1e-4)


# --- the first CenterMask, and mistakes ------------------------------------------------------------------------------


def test_first_centermask_regresses_the_exponent_in_pixels():
    head = small_head(strides=(8,), bbox_reg='exp_pixel', sqrt_score=False).train()
    with torch.no_grad():
        head.conv_reg.weight.zero_()
        head.conv_reg.bias.copy_(torch.tensor([5.0, 6.0, 7.0, 8.0]).log())
        head.conv_cls.bias.fill_(2.0)
    (x,) = features(strides=(8,), height=32, width=32)
    cls_score, bbox_pred, centerness = head((x,))
    assert torch.allclose(bbox_pred[0][0, :, 2, 1], torch.tensor([5.0, 6.0, 7.0, 8.0]))
    cfg = ConfigDict(POST | dict(nms=None, with_points=True))
    (result,) = head.predict_by_feat(cls_score, bbox_pred, centerness, META, cfg=cfg)
    offsets = (result.bboxes - result.points.repeat(1, 2)).unique(dim=0)
    assert torch.allclose(offsets, torch.tensor([-5.0, -6.0, 7.0, 8.0]), atol=1e-4)
    # Its targets are pixels as well.
    points = head.prior_generator.grid_priors([(4, 4)], device='cpu')
    _, targets = head.get_targets(points, [sample([[0, 0, 32, 32]], [1]).gt_instances])
    assert targets[0][5].tolist() == [12.0, 12.0, 20.0, 20.0]


def test_registered_under_its_scope():
    head = MODELS.build(dict(type='mmkd.CenterMaskFCOSHead', num_classes=2, in_channels=32, feat_channels=32))
    assert isinstance(head, CenterMaskFCOSHead)


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (dict(bbox_reg='exp'), "bbox_head.bbox_reg: .*'relu_stride'.*'exp'"),
        (dict(norm_on_bbox=True), 'bbox_head.norm_on_bbox: .*bbox_reg'),
        (dict(loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False)), 'bbox_head.loss_cls.use_sigmoid'),
    ],
)
def test_mistakes_name_the_config_key(wrong, message):
    with pytest.raises(ValueError, match=message):
        small_head(**wrong)
