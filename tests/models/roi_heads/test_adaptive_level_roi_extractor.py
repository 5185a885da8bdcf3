"""RoI levels and pooling against centermask2, and where mmdet's extractor gives something else."""

import pytest
import torch
from helpers.golden import assert_close_to_rms, golden_arrays
from helpers.roi_head_cases import INFER_GOLDEN, TRAIN_GOLDEN, golden_ground_truth, unit_arrays
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor

from mmkd.models.roi_heads.roi_extractors.adaptive_level_roi_extractor import (
    AdaptiveRoIExtractor,
    area_levels,
    ratio_levels,
)

ROI_ALIGN = dict(type='RoIAlign', output_size=14, sampling_ratio=0, aligned=True)


def make_extractor(channels=3, strides=(8, 16, 32), **kwargs):
    return AdaptiveRoIExtractor(dict(ROI_ALIGN), channels, list(strides), **kwargs)


def square(area):
    return [0.0, 0.0, area**0.5, area**0.5]


def test_levels_of_the_golden_boxes_by_both_rules():
    arrays = {key: torch.from_numpy(value) for key, value in unit_arrays('level').items()}
    areas = arrays['image_hw'].prod(dim=1).float()[arrays['image_index']]
    ratio = ratio_levels(arrays['boxes'], areas, 3, 5)
    area = area_levels(arrays['boxes'], 3, 5)
    assert torch.equal(ratio - 3, arrays['ratio'])
    assert torch.equal(area - 3, arrays['area_criterion'])
    assert not torch.equal(ratio, area)


@pytest.mark.parametrize(
    'area,level',
    [(10000, 3), (250000, 3), (266600, 3), (360000, 4), (533200, 4), (534200, 5), (640000, 5), (1066400, 5), (2e6, 5)],
)
def test_ratio_levels_of_an_800x1333_image(area, level):
    # The box's width is the area: its sides need no square root, so the limits at 1/4 and 1/2 are met exactly.
    box = torch.tensor([[0.0, 0.0, float(area), 1.0]])
    assert ratio_levels(box, torch.tensor([1066400.0]), 3, 5).tolist() == [level]


def test_boxes_without_area_go_to_the_finest_level():
    boxes = torch.tensor([[5.0, 5.0, 5.0, 90.0], [9.0, 9.0, 2.0, 2.0], [9.0, 2.0, 2.0, 9.0]])
    assert ratio_levels(boxes, torch.full((3,), 1e4), 3, 5).tolist() == [3, 3, 3]
    assert area_levels(boxes, 3, 5).tolist() == [3, 3, 3]


def test_levels_follow_the_number_of_feature_maps():
    # Of a 64x64 image the boxes cover 1, 1/2, 1/4, 1/8, 1/16 and 1/32. With k_max = 7 only what covers more than half
    # is on P7, up to half P6, up to a quarter P5, ...
    rois = torch.tensor([[0, 0, 0, 64, 64 / 2**i] for i in range(6)])
    levels = make_extractor(strides=(4, 8, 16, 32, 64, 128)).map_roi_levels(rois, 6, torch.tensor([64.0 * 64]))
    assert levels.tolist() == [5, 4, 3, 2, 1, 0]


def test_area_rule_agrees_with_mmdet_away_from_the_limits():
    plain = SingleRoIExtractor(dict(ROI_ALIGN), 3, [8, 16, 32], finest_scale=112)
    rois = torch.tensor([[0.0, 0, 0, side, side] for side in (3, 100, 223, 225, 447, 449, 2000)])
    assert torch.equal(make_extractor(assign='area').map_roi_levels(rois, 3), plain.map_roi_levels(rois, 3))


def test_levels_of_golden_proposals_need_the_size_without_padding():
    """The second image of the training batch has 310x175 pixels in a batch of 320x256."""
    arrays = golden_arrays(TRAIN_GOLDEN)
    images, boxes = torch.from_numpy(arrays['fg_image']), torch.from_numpy(arrays['fg_boxes'])
    rois = torch.cat([images[:, None].float(), boxes], dim=1)
    areas = torch.tensor([float(h * w) for h, w in (image['size'] for image in golden_ground_truth())])
    expected = torch.from_numpy(arrays['fg_level'])
    assert torch.equal(make_extractor().map_roi_levels(rois, 3, areas), expected)
    # None of these is near a limit; this box is: 27 % of the image, 18 % of the batch.
    roi = torch.tensor([[1.0, 0, 0, 146, 100]])
    assert make_extractor().map_roi_levels(roi, 3, areas).tolist() == [1]
    assert make_extractor().map_roi_levels(roi, 3, torch.full((2,), 320.0 * 256)).tolist() == [0]


def test_levels_of_golden_detections_need_boxes_as_they_are():
    arrays = golden_arrays(INFER_GOLDEN)
    boxes, expected = torch.from_numpy(arrays['boxes']), torch.from_numpy(arrays['roi_level'])
    area = torch.full((len(boxes),), 320.0 * 256)
    assert torch.equal(ratio_levels(boxes, area, 3, 5) - 3, expected)
    clipped = torch.minimum(boxes.clamp(min=0), torch.tensor([320.0, 256, 320, 256]))
    assert not torch.equal(ratio_levels(clipped, area, 3, 5) - 3, expected)


def test_pools_the_golden_features():
    arrays = unit_arrays('roi')
    feats = [torch.from_numpy(arrays[f'f{i}']) for i in range(3)]
    rois = torch.cat([torch.from_numpy(arrays['image'])[:, None].float(), torch.from_numpy(arrays['boxes'])], dim=1)
    extractor = make_extractor()
    img_shapes = [tuple(shape) for shape in arrays['image_hw'].tolist()]
    areas = torch.tensor([float(h * w) for h, w in img_shapes])
    assert extractor.map_roi_levels(rois, 3, areas).tolist() == arrays['level'].tolist()
    assert_close_to_rms(extractor(feats, rois, img_shapes=img_shapes), arrays['y'], relative=1e-5)
    assert arrays['y'][4].any() == 0  # the box without width


def test_without_image_shapes_the_padded_batch_counts():
    """As inside of an mmdet StandardRoIHead, which passes features and RoIs only."""
    feats = [torch.randn(1, 3, 64 // stride, 64 // stride) for stride in (8, 16, 32)]
    roi = torch.tensor([[0.0, 0, 0, 40, 40]])  # 1600 px: 39 % of 64x64, 78 % of 32x64
    extractor = make_extractor()
    padded, known = extractor(feats, roi), extractor(feats, roi, img_shapes=[(32, 64)])
    assert torch.equal(padded, extractor.roi_layers[1](feats[1], roi))
    assert torch.equal(known, extractor.roi_layers[2](feats[2], roi))


def test_images_of_a_batch_have_areas_of_their_own():
    feats = [torch.randn(2, 3, 64 // stride, 64 // stride) for stride in (8, 16, 32)]
    rois = torch.tensor([[1.0, 0, 0, 40, 40], [0.0, 0, 0, 40, 40]])
    pooled = make_extractor()(feats, rois, img_shapes=[(64, 64, 3), (32, 64, 3)])
    extractor = make_extractor()
    assert torch.equal(pooled[0], extractor.roi_layers[2](feats[2], rois[:1])[0])
    assert torch.equal(pooled[1], extractor.roi_layers[1](feats[1], rois[1:])[0])


@pytest.mark.parametrize('boxes', [[], [[0.0, 0, 0, 5, 5]]], ids=['no RoI', 'RoI on one level'])
def test_every_feature_map_gets_a_gradient(boxes):
    feats = [torch.full((1, 3, 64 // s, 64 // s), torch.inf, requires_grad=True) for s in (16, 32)]
    feats.insert(0, torch.randn(1, 3, 8, 8, requires_grad=True))
    pooled = make_extractor()(feats, torch.tensor(boxes).reshape(-1, 5))
    assert pooled.shape == (len(boxes), 3, 14, 14)
    assert pooled.isfinite().all()
    pooled.sum().backward()
    assert all(feat.grad is not None for feat in feats)
    assert feats[1].grad.abs().sum() == 0
    assert (feats[0].grad.abs().sum() > 0) == bool(boxes)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_features_do_not_move_the_rois(dtype):
    """Far from the origin half precision cannot tell 1001.3 from 1001; mmdet casts RoIs to the type of the features."""
    torch.manual_seed(0)
    feat = torch.randn(1, 2, 8, 160).to(dtype)
    roi = torch.tensor([[0.0, 1001.3, 3.3, 1033.7, 30.2]])
    extractor = make_extractor(channels=2, strides=(8,))
    exact = extractor([feat.float()], roi)
    pooled = extractor([feat], roi)
    assert pooled.dtype == dtype
    assert torch.allclose(pooled.float(), exact, atol=1e-2)
    moved = extractor([feat.float()], roi.to(dtype).float())
    assert not torch.allclose(moved, exact, atol=1e-2)


def test_channels_last_features_give_the_same():
    feat, roi = torch.randn(1, 3, 8, 8), torch.tensor([[0.0, 3, 5, 40, 50]])
    extractor = make_extractor(strides=(8,))
    assert torch.equal(extractor([feat.to(memory_format=torch.channels_last)], roi), extractor([feat], roi))


def test_roi_scale_factor_leaves_the_level_alone():
    feats = [torch.randn(1, 3, 64 // stride, 64 // stride) for stride in (8, 16, 32)]
    roi = torch.tensor([[0.0, 10, 10, 30, 30]])  # a tenth of the image, P3; the doubled one would be P4
    pooled = make_extractor()(feats, roi, roi_scale_factor=2.0)
    doubled = torch.tensor([[0.0, 0, 0, 40, 40]])
    assert torch.equal(pooled, make_extractor().roi_layers[0](feats[0], doubled))


def test_unknown_rules_and_gaps_between_levels_are_refused():
    with pytest.raises(ValueError, match=r"mask_roi_extractor.assign: got 'size'"):
        make_extractor(assign='size')
    with pytest.raises(ValueError, match=r'mask_roi_extractor.featmap_strides: got \[8, 32\]'):
        make_extractor(strides=(8, 32))
