"""The box head of CenterMask: targets, losses and boxes against the original, and where mmdet's FCOS differs."""

import copy
import math

import numpy as np
import pytest
import torch
from helpers.golden import golden_arrays
from mmdet.models.dense_heads import FCOSHead
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmkd.models.dense_heads import CenterMaskFCOSHead
from mmkd.registry import MODELS

STRIDES = (8, 16, 32, 64, 128)
POST = dict(score_thr=0.05, nms_pre=1000, min_bbox_size=-1, nms=dict(type='nms', iou_threshold=0.6), max_per_img=50)


def small_head(num_classes=3, head=CenterMaskFCOSHead, strides=STRIDES, **kwargs):
    torch.manual_seed(0)
    defaults = dict(
        num_classes=num_classes,
        in_channels=4,
        feat_channels=4,
        stacked_convs=1,
        strides=strides,
        norm_cfg=dict(type='GN', num_groups=2),
        test_cfg=ConfigDict(POST),
    )
    if len(strides) != 5:
        defaults['regress_ranges'] = ((-1, 1e8),) * len(strides)
    return head(**(defaults | kwargs))


def plain_fcos_head(**kwargs):
    """mmdet's own head, set to the same network and targets as CenterMask's."""
    kwargs = dict(norm_on_bbox=True, centerness_on_reg=True, center_sampling=True, conv_bias=True) | kwargs
    return small_head(head=FCOSHead, **kwargs)


def sample(boxes, labels, height=128, width=160, **meta):
    instances = InstanceData(
        bboxes=torch.as_tensor(boxes).float().reshape(-1, 4), labels=torch.as_tensor(labels).long()
    )
    meta = dict(img_shape=(height, width), ori_shape=(height, width), scale_factor=(1.0, 1.0)) | meta
    return DetDataSample(metainfo=meta, gt_instances=instances)


def features(batch=1, height=128, width=160, strides=STRIDES, channels=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        torch.randn(batch, channels, math.ceil(height / s), math.ceil(width / s), generator=generator) for s in strides
    )


def one_level_outputs(cells, distances=1.0, num_classes=3, shape=(4, 4), base=-20.0):
    """Outputs of one level with the given ``{(class, row, column): (class probability, centreness)}``."""
    cls_score = torch.full((1, num_classes, *shape), base)
    centerness = torch.full((1, 1, *shape), base)
    for (label, row, column), (probability, centre) in cells.items():
        cls_score[0, label, row, column] = math.log(probability / (1 - probability))
        centerness[0, 0, row, column] = math.log(centre / (1 - centre))
    return [cls_score], [torch.full((1, 4, *shape), float(distances))], [centerness]


META = [dict(img_shape=(32, 32), ori_shape=(32, 32), scale_factor=(1.0, 1.0))]


# --- targets ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def units():
    return golden_arrays('centermask2/E_units')


def targets_of_golden_image(head, units):
    sizes = [tuple(size) for size in units['fcos_level_hw'].tolist()]
    points = head.prior_generator.grid_priors(sizes, device='cpu')
    instances = InstanceData(
        bboxes=torch.from_numpy(units['fcos_gt_boxes']), labels=torch.from_numpy(units['fcos_gt_classes'])
    )
    return points, *head.get_targets(points, [instances])


def test_locations_labels_and_regression_targets_equal_the_original_on_each_level(units):
    points, labels, targets = targets_of_golden_image(small_head(num_classes=80), units)
    assert sum((level < 80).sum() for level in labels) > 20
    for level in range(5):
        np.testing.assert_array_equal(points[level], units[f'fcos_loc_{level}'])
        np.testing.assert_array_equal(labels[level], units[f'fcos_label_{level}'])
        positive = units[f'fcos_label_{level}'] != 80
        expected = units[f'fcos_reg_{level}'][positive]
        np.testing.assert_allclose(targets[level].numpy()[positive], expected, rtol=1e-6, atol=1e-6)


def test_centreness_targets_equal_the_original(units):
    actual = small_head().centerness_target(torch.from_numpy(units['ltrb_target']))
    np.testing.assert_allclose(actual, units['ctrness_target'], rtol=1e-5, atol=1e-6)


def test_focal_loss_of_the_head_equals_the_original(units):
    loss = small_head().loss_cls
    logits, targets = torch.from_numpy(units['focal_logits']), torch.from_numpy(units['focal_targets'])
    np.testing.assert_allclose(
        loss(logits, targets, reduction_override='none'), units['focal_elem'], rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(loss(logits, targets, reduction_override='sum'), units['focal_sum'], rtol=1e-6)


def test_both_ends_of_a_regression_range_belong_to_it():
    """A distance of exactly 64 is regressed on the level up to 64 and on the level from 64 on."""
    head = small_head()
    points = head.prior_generator.grid_priors([(16, 20), (8, 10), (4, 5), (2, 3), (1, 2)], device='cpu')
    cases = [
        (0, (52.0, 20.0), [-12.0, 10, 100, 30]),  # stride 8, 64 to the left, centre (44, 20) less than 12 away
        (1, (56.0, 24.0), [-8.0, 14, 104, 34]),  # stride 16, 64 to the left, centre (48, 24) less than 24 away
    ]
    for level, location, box in cases:
        labels, _ = head.get_targets(points, [InstanceData(bboxes=torch.tensor([box]), labels=torch.tensor([1]))])
        (index,) = (points[level] == torch.tensor(location)).all(dim=1).nonzero()
        assert labels[level][index].item() == 1


def test_targets_of_crowded_images_equal_those_of_mmdet():
    """mmdet's assignment is the same rule; ours needs neither its (points, boxes, 4) tensors nor its Python index."""
    generator = torch.Generator().manual_seed(1)
    corners = torch.rand(300, 4, generator=generator) * torch.tensor([600.0, 400, 600, 400])
    boxes = torch.cat([torch.minimum(corners[:, :2], corners[:, 2:]), torch.maximum(corners[:, :2], corners[:, 2:])], 1)
    instances = InstanceData(bboxes=boxes, labels=torch.randint(0, 80, (300,), generator=generator))
    for flags in ({}, dict(center_sampling=False)):
        ours, theirs = small_head(80, **flags), plain_fcos_head(num_classes=80, **flags)
        points = ours.prior_generator.grid_priors([(50, 75), (25, 38), (13, 19), (7, 10), (4, 5)], device='cpu')
        (labels, targets), (labels_mmdet, targets_mmdet) = (h.get_targets(points, [instances]) for h in (ours, theirs))
        positives = torch.cat(labels) < 80
        assert positives.sum() > 500
        assert torch.equal(torch.cat(labels), torch.cat(labels_mmdet))
        assert torch.equal(torch.cat(targets)[positives], torch.cat(targets_mmdet)[positives])


def test_targets_take_box_types_and_images_without_objects():
    head = small_head()
    points = head.prior_generator.grid_priors([(16, 20), (8, 10), (4, 5), (2, 3), (1, 2)], device='cpu')
    boxes = torch.tensor([[20.0, 20, 60, 60]])
    plain = InstanceData(bboxes=boxes, labels=torch.tensor([2]))
    typed = InstanceData(bboxes=HorizontalBoxes(boxes), labels=torch.tensor([2]))
    empty = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
    labels, _ = head.get_targets(points, [plain, typed, empty])
    per_image = labels[0].reshape(3, -1)
    assert (per_image[0] == 2).any()
    assert torch.equal(per_image[0], per_image[1])
    assert (per_image[2] == 3).all()


def test_a_first_box_centred_on_zero_does_not_empty_the_image():
    """The original drops every positive of an image whose first box has its centre at x = 0; that is not copied."""
    head = small_head()
    points = head.prior_generator.grid_priors([(16, 20), (8, 10), (4, 5), (2, 3), (1, 2)], device='cpu')
    boxes = torch.tensor([[-8.0, 0, 8, 8], [20, 20, 60, 60]])
    labels, _ = head.get_targets(points, [InstanceData(bboxes=boxes, labels=torch.tensor([0, 1]))])
    assert (torch.cat(labels) == 1).any()


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


# --- boxes -----------------------------------------------------------------------------------------------------------


def test_score_is_the_square_root_of_class_probability_times_centreness():
    outputs = one_level_outputs({(1, 2, 1): (0.64, 0.25)})
    (result,) = small_head(strides=(8,)).predict_by_feat(*outputs, META)
    assert result.scores.tolist() == pytest.approx([0.4])  # mmdet and the first CenterMask: 0.16
    assert result.labels.tolist() == [1]
    # location (12, 20), one stride of 8 to each side
    assert result.bboxes.tolist() == [[4.0, 12.0, 20.0, 28.0]]
    (plain,) = small_head(strides=(8,), sqrt_score=False).predict_by_feat(*outputs, META)
    assert plain.scores.tolist() == pytest.approx([0.16])


def test_threshold_is_on_the_class_probability_or_on_the_product():
    outputs = one_level_outputs({(0, 0, 0): (0.06, 0.1), (1, 1, 1): (0.04, 0.99), (2, 3, 3): (0.5, 0.2)})
    (by_class,) = small_head(strides=(8,)).predict_by_feat(*outputs, META)
    (by_product,) = small_head(strides=(8,), thresh_with_ctr=True).predict_by_feat(*outputs, META)
    assert sorted(by_class.labels.tolist()) == [0, 2]
    assert by_product.labels.tolist() == [2]
    # It has to be exceeded: a logit of 0 is a probability of exactly 0.5.
    at_threshold = one_level_outputs({(0, 0, 0): (0.5, 0.9)})
    assert at_threshold[0][0].max() == 0
    (none,) = small_head(strides=(8,)).predict_by_feat(*at_threshold, META, cfg=ConfigDict(POST | dict(score_thr=0.5)))
    assert len(none) == 0


def test_the_best_candidates_are_chosen_by_the_product_not_by_the_class_probability():
    cells = {(0, 0, 0): (0.9, 0.1), (1, 1, 1): (0.3, 0.9), (2, 3, 3): (0.5, 0.3)}  # products .09, .27, .15
    cfg = ConfigDict(POST | dict(nms_pre=2))
    (ours,) = small_head(strides=(8,)).predict_by_feat(*one_level_outputs(cells), META, cfg=cfg)
    (mmdet,) = plain_fcos_head(strides=(8,)).predict_by_feat(*one_level_outputs(cells), META, cfg=cfg)
    assert ours.labels.tolist() == [1, 2]
    assert sorted(mmdet.labels.tolist()) == [0, 2]


def test_boxes_are_not_clipped_to_the_image_unless_asked():
    outputs = one_level_outputs({(1, 0, 0): (0.9, 0.9)}, distances=3.0)  # location (4, 4), 24 pixels to each side
    (free,) = small_head(strides=(8,)).predict_by_feat(*outputs, META)
    assert free.bboxes.tolist() == [[-20.0, -20.0, 28.0, 28.0]]
    clipping = dict(type='DistancePointBBoxCoder', clip_border=True)
    (clipped,) = small_head(strides=(8,), bbox_coder=clipping).predict_by_feat(*outputs, META)
    assert clipped.bboxes.tolist() == [[0.0, 0.0, 28.0, 28.0]]
    (mmdet,) = plain_fcos_head(strides=(8,)).predict_by_feat(outputs[0], [outputs[1][0] * 8], outputs[2], META)
    assert mmdet.bboxes.tolist() == clipped.bboxes.tolist()


def test_suppression_equals_the_original(units):
    boxes, scores, classes = (torch.from_numpy(units[f'nms_{part}']) for part in ('boxes', 'scores', 'classes'))
    candidates = InstanceData(bboxes=boxes, scores=scores, labels=classes)
    cfg = ConfigDict(POST | dict(max_per_img=100))
    kept = small_head()._bbox_post_process(candidates, cfg, img_meta=META[0])
    expected = units['nms_keep']
    np.testing.assert_array_equal(kept.bboxes, units['nms_boxes'][expected])
    np.testing.assert_array_equal(kept.labels, units['nms_classes'][expected])
    np.testing.assert_array_equal(kept.scores, units['nms_scores'][expected])


def test_far_outside_boxes_of_one_class_do_not_suppress_those_of_another():
    """mmcv keeps classes apart by adding (largest coordinate + 1) per class, too little where boxes are negative."""
    # class 0 at 100..200; class 1 at -101..-1: shifted by 201 it would lie exactly on the first
    boxes = torch.tensor([[100.0, 100, 200, 200], [-101, -101, -1, -1]])
    candidates = InstanceData(bboxes=boxes, scores=torch.tensor([0.9, 0.8]), labels=torch.tensor([0, 1]))
    assert len(small_head()._bbox_post_process(copy.deepcopy(candidates), ConfigDict(POST), img_meta=META[0])) == 2
    assert len(plain_fcos_head()._bbox_post_process(candidates, ConfigDict(POST), img_meta=META[0])) == 1


def test_soft_suppression_lowers_scores():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 8]])
    candidates = InstanceData(bboxes=boxes, scores=torch.tensor([0.9, 0.8]), labels=torch.tensor([0, 0]))
    cfg = ConfigDict(POST | dict(nms=dict(type='soft_nms', iou_threshold=0.5, method='linear')))
    kept = small_head()._bbox_post_process(candidates, cfg, img_meta=META[0])
    # overlap 80 / 100, so the second score becomes 0.8 * (1 - 0.8)
    assert kept.scores.tolist() == pytest.approx([0.9, 0.16], abs=1e-6)
    assert kept.bboxes.tolist() == boxes.tolist()


def test_small_boxes_are_dropped_when_asked():
    outputs = one_level_outputs({(1, 1, 1): (0.9, 0.9)}, distances=0.0)
    assert len(small_head(strides=(8,)).predict_by_feat(*outputs, META)[0]) == 1
    cfg = ConfigDict(POST | dict(min_bbox_size=0))
    assert len(small_head(strides=(8,)).predict_by_feat(*outputs, META, cfg=cfg)[0]) == 0


def test_no_candidates_give_empty_results():
    for with_nms in (True, False):
        (result,) = small_head(strides=(8,)).predict_by_feat(*one_level_outputs({}), META, with_nms=with_nms)
        assert result.bboxes.shape == (0, 4)
        assert result.scores.shape == result.labels.shape == (0,)


def test_results_hold_no_locations_unless_asked():
    outputs = one_level_outputs({(1, 2, 1): (0.64, 0.25)})
    head = small_head(strides=(8,))
    assert 'points' not in head.predict_by_feat(*outputs, META)[0]
    (result,) = head.predict_by_feat(*outputs, META, cfg=ConfigDict(POST | dict(with_points=True)))
    assert result.points.tolist() == [[12.0, 20.0]]


def test_boxes_are_rescaled_to_the_original_image():
    outputs = one_level_outputs({(1, 2, 1): (0.64, 0.25)})
    meta = [dict(img_shape=(32, 32), ori_shape=(64, 16), scale_factor=(2.0, 0.5))]
    (result,) = small_head(strides=(8,)).predict_by_feat(*outputs, meta, rescale=True)
    assert result.bboxes.tolist() == [[2.0, 24.0, 10.0, 56.0]]


def test_batched_selection_equals_the_selection_image_by_image():
    head, x = small_head(test_cfg=ConfigDict(POST | dict(max_per_img=1000))).eval(), features(batch=3)
    with torch.no_grad():
        for conv, bias in ((head.conv_cls, -2.0), (head.conv_reg, 2.0)):
            torch.nn.init.normal_(conv.weight, std=0.5)
            conv.bias.fill_(bias)
        outputs = head(x)
    batch = head.predict_by_feat(*outputs, META * 3)
    assert len({len(result) for result in batch}) > 1
    assert min(len(result) for result in batch) > 5
    for i, result in enumerate(batch):
        (single,) = head.predict_by_feat(*[[level[i : i + 1] for level in kind] for kind in outputs], META)
        for part in ('bboxes', 'scores', 'labels'):
            torch.testing.assert_close(result[part], single[part])


def naive_candidates(outputs, image, strides, threshold, most):
    """Candidates of one image as the original finds them, written as plain loops."""
    rows = []
    for cls_score, bbox_pred, centerness, stride in zip(*outputs, strides, strict=True):
        level = []
        probability, centre = cls_score[image].sigmoid(), centerness[image, 0].sigmoid()
        for label, row, column in (probability > threshold).nonzero().tolist():
            x, y = column * stride + stride // 2, row * stride + stride // 2
            left, top, right, bottom = (bbox_pred[image, :, row, column] * stride).tolist()
            score = (probability[label, row, column] * centre[row, column]).item()
            level.append((score, label, x - left, y - top, x + right, y + bottom))
        rows += sorted(level, reverse=True)[:most]
    return sorted((math.sqrt(row[0]), *row[1:]) for row in rows)


def test_candidates_equal_a_naive_search_with_the_cut_per_level():
    head, x = small_head().eval(), features(batch=2)
    with torch.no_grad():
        for conv, bias in ((head.conv_cls, -2.0), (head.conv_reg, 2.0), (head.conv_centerness, 0.0)):
            torch.nn.init.normal_(conv.weight, std=0.5)
            conv.bias.fill_(bias)
        outputs = head(x)
    cfg = ConfigDict(POST | dict(nms_pre=40))
    results = head.predict_by_feat(*outputs, [META[0]] * 2, cfg=cfg, with_nms=False)
    for image, result in enumerate(results):
        expected = naive_candidates(outputs, image, STRIDES, 0.05, 40)
        actual = torch.cat([result.scores[:, None], result.labels[:, None], result.bboxes], 1)
        assert 60 < len(expected) == len(actual)
        np.testing.assert_allclose(sorted(actual.tolist()), expected, rtol=1e-4, atol=1e-3)


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
