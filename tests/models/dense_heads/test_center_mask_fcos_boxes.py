"""How the box head of CenterMask scores, chooses and suppresses boxes, and where mmdet's FCOS differs."""

import copy
import math

import numpy as np
import pytest
import torch
from helpers.fcos_heads import META, POST, STRIDES, features, one_level_outputs, plain_fcos_head, small_head
from helpers.golden import golden_arrays
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData


@pytest.fixture(scope='module')
def units():
    return golden_arrays('centermask2/E_units')


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
