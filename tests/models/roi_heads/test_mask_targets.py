"""Mask rasters and visible areas of polygons and bitmaps, also of boxes that leave the image."""

import time

import numpy as np
import pytest
import torch
from helpers.roi_head_cases import golden_positives, rectangle, to_bitmaps, unit_arrays, unit_polygons
from mmdet.structures.mask import BitmapMasks, PolygonMasks, mask_target
from mmengine.config import ConfigDict

from mmkd.models.roi_heads import mask_targets as module
from mmkd.models.roi_heads.mask_targets import mask_targets, visible_area_ratios


def iou(a, b):
    return ((a * b).sum((1, 2)) / torch.maximum(a, b).sum((1, 2)).clamp(min=1)).numpy()


def test_polygon_rasters_of_the_golden_units():
    arrays = unit_arrays('miou')
    raster = mask_targets(unit_polygons(), torch.from_numpy(arrays['boxes']), torch.arange(6), 28)
    assert raster.dtype == torch.float32
    assert np.array_equal(raster.numpy(), arrays['raster'])


def test_polygon_area_ratios_of_the_golden_units():
    arrays = unit_arrays('miou')
    ratios = visible_area_ratios(unit_polygons(), torch.from_numpy(arrays['boxes']), torch.arange(6))
    assert ratios.dtype == torch.float64
    assert np.allclose(ratios.numpy(), arrays['ratio'], rtol=1e-12)


def test_polygon_rasters_of_the_golden_training_step():
    seen = 0
    for masks, boxes, gt_inds, expected in golden_positives():
        assert np.array_equal(mask_targets(masks, boxes, gt_inds, 28).numpy(), expected)
        seen += len(boxes)
    assert seen == 34


def test_boxes_are_not_clipped_to_the_image_as_mmdet_does():
    """The box is half outside of the image on the left, so the right half of its raster is the instance."""
    boxes = torch.tensor([[-10.0, 0.0, 10.0, 20.0]])
    masks = PolygonMasks([[rectangle(0, 0, 10, 20)]], 20, 20)
    expected = torch.zeros(28, 28)
    expected[:, 14:] = 1
    for instance_masks in (masks, to_bitmaps(masks)):
        before = boxes.clone()
        assert torch.equal(mask_targets(instance_masks, boxes, torch.tensor([0]), 28)[0], expected)
        assert torch.equal(boxes, before)
        plain = mask_target([boxes.clone()], [torch.tensor([0])], [instance_masks], ConfigDict(mask_size=28))[0]
        assert plain.mean() == 1  # mmdet: the instance fills what is left of the box


def test_short_sides_are_stretched_as_they_are():
    """Of the box of 0.5x0.5 px the instance fills the left half; mmdet takes a box of 1x1 instead."""
    boxes = torch.tensor([[4.0, 4.0, 4.5, 4.5]])
    masks = PolygonMasks([[rectangle(4, 4, 4.25, 8)]], 10, 10)
    raster = mask_targets(masks, boxes, torch.tensor([0]), 28)[0]
    assert raster[:, :14].all()
    assert not raster[:, 14:].any()


def test_tiny_boxes_are_scaled_as_if_a_tenth_of_a_pixel():
    # Width 0.05 counts as 0.1: the instance to the right of x = 4.05 falls on the right half of the raster.
    masks = PolygonMasks([[rectangle(4.05, 0, 9, 9)]], 10, 10)
    raster = mask_targets(masks, torch.tensor([[4.0, 4.0, 4.05, 5.0]]), torch.tensor([0]), 28)[0]
    assert raster[:, 14:].all()
    assert not raster[:, :14].any()


def test_instances_of_several_polygons_are_united():
    pieces = [rectangle(0, 0, 10, 5), rectangle(0, 10, 10, 20), rectangle(0, 3, 10, 5)]
    masks = PolygonMasks([[rectangle(0, 0, 1, 1)], pieces], 20, 20)
    raster = mask_targets(masks, torch.tensor([[0.0, 0, 10, 20]] * 2), torch.tensor([1, 0]), 20)
    assert raster[0].sum() == 20 * (5 + 10)
    assert raster[1].sum() == 2 * 1


def test_degenerate_polygons_count_for_nothing():
    dummy = PolygonMasks([[np.zeros(6)], [np.array([1.0, 1.0, 5.0, 5.0])], [rectangle(0, 0, 4, 4)]], 10, 10)
    boxes, inds = torch.tensor([[0.0, 0, 4, 4]] * 3), torch.tensor([0, 1, 2])
    assert mask_targets(dummy, boxes, inds, 28).mean((1, 2)).tolist()[1:] == [0, 1]
    assert visible_area_ratios(dummy, boxes, inds).tolist() == [0, 0, 1]


def test_area_ratio_counts_boxes_by_their_whole_sides():
    """Of the instance 20x20 the box from (0, 0) to (10.9, 20.9) sees 10 columns and 20 rows."""
    polygons = PolygonMasks([[rectangle(0, 0, 20, 20)]], 40, 40)
    box = torch.tensor([[0.0, 0.0, 10.9, 20.9]])
    for masks in (polygons, to_bitmaps(polygons)):
        assert visible_area_ratios(masks, box, torch.tensor([0])).tolist() == [0.5]


@pytest.mark.parametrize(
    'box,ratio',
    [
        ([-5.0, -5.0, 5.0, 5.0], 25 / 400),
        ([15.0, 15.0, 90.0, 90.0], 25 / 400),
        ([-50.0, -50.0, 90.0, 90.0], 1.0),
        ([25.0, 25.0, 30.0, 30.0], 0.0),
        ([-9.0, 3.0, -2.0, 9.0], 0.0),
        ([3.0, 3.0, 3.5, 3.5], 0.0),
        ([9.0, 9.0, 3.0, 3.0], 0.0),
    ],
    ids=['upper left', 'lower right', 'all around', 'beside it', 'out of the image', 'below a pixel', 'inside out'],
)
def test_area_ratio_of_boxes_outside_of_the_image(box, ratio):
    polygons = PolygonMasks([[rectangle(0, 0, 20, 20)]], 30, 30)
    for masks in (polygons, to_bitmaps(polygons)):
        assert visible_area_ratios(masks, torch.tensor([box]), torch.tensor([0])).tolist() == pytest.approx([ratio])


def test_bitmap_areas_between_pixels_are_exact():
    bitmap = np.zeros((1, 4, 4), dtype=np.uint8)
    bitmap[0, 1, 2] = bitmap[0, 3, 3] = 1
    # 2x2 px from (1.75, 0.5): sees 1 of the columns 2..3 and 1 of row 1 of the first pixel, nothing of the second.
    boxes = torch.tensor([[1.75, 0.5, 3.75, 2.5], [2.5, 1.25, 4.5, 3.25]])
    # The second: half of the first pixel's width, 3/4 of its height; of the second pixel all its width, 1/4 of its
    # height. (0.375 + 0.25) / 2.
    ratios = visible_area_ratios(BitmapMasks(bitmap, 4, 4), boxes, torch.tensor([0, 0]))
    assert ratios.tolist() == pytest.approx([0.5, 0.3125])


def test_bitmaps_agree_with_the_polygons_they_were_made_from():
    rasters, ratios = [], []
    for polygons, boxes, gt_inds, _ in golden_positives():
        bitmaps = to_bitmaps(polygons)
        rasters.append(iou(mask_targets(polygons, boxes, gt_inds, 28), mask_targets(bitmaps, boxes, gt_inds, 28)))
        ratios.append(visible_area_ratios(polygons, boxes, gt_inds) - visible_area_ratios(bitmaps, boxes, gt_inds))
    # The smallest instance has 465 px as a polygon and 483 as a bitmap, 3.7 % more.
    assert np.concatenate(rasters).min() > 0.9
    assert np.concatenate(rasters).mean() > 0.97
    assert torch.cat(ratios).abs().max() < 0.04
    assert torch.cat(ratios).abs().mean() < 0.005


def test_bitmaps_in_groups_give_the_same(monkeypatch):
    polygons, boxes, gt_inds, _ = next(golden_positives())
    bitmaps = to_bitmaps(polygons)
    whole = [f(bitmaps, boxes, gt_inds, *size) for f, size in ((mask_targets, [28]), (visible_area_ratios, []))]
    monkeypatch.setattr(module, '_MAX_PIXELS', 2 * polygons.height * polygons.width)
    parts = [f(bitmaps, boxes, gt_inds, *size) for f, size in ((mask_targets, [28]), (visible_area_ratios, []))]
    assert len(set(gt_inds.tolist())) > 2
    assert all(map(torch.equal, whole, parts))


def test_bitmaps_may_lie_in_memory_in_any_order():
    polygons, boxes, gt_inds, _ = next(golden_positives())
    plain, turned = to_bitmaps(polygons), to_bitmaps(polygons)
    plain.masks = np.ascontiguousarray(plain.masks)
    turned.masks = np.asfortranarray(turned.masks).astype(bool)
    assert torch.equal(mask_targets(plain, boxes, gt_inds, 28), mask_targets(turned, boxes, gt_inds, 28))


@pytest.mark.parametrize('masks', [PolygonMasks([], 9, 9), BitmapMasks([], 9, 9)], ids=['polygons', 'bitmaps'])
def test_no_boxes_and_no_instances(masks):
    boxes, gt_inds = torch.zeros(0, 4), torch.zeros(0, dtype=torch.long)
    assert mask_targets(masks, boxes, gt_inds, 28).shape == (0, 28, 28)
    assert visible_area_ratios(masks, boxes, gt_inds).shape == (0,)


def test_other_masks_are_refused():
    with pytest.raises(TypeError, match='gt_instances.masks: got Tensor, expected PolygonMasks or BitmapMasks'):
        mask_targets(torch.zeros(1, 9, 9), torch.zeros(1, 4), torch.tensor([0]), 28)


def test_128_polygon_rois_are_rasterised_quickly():
    """Measured: about 8 ms. The limit leaves room for a busy machine."""
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    circle = np.stack([300 + 200 * np.cos(angles), 300 + 150 * np.sin(angles)], axis=1).reshape(-1)
    masks = PolygonMasks([[circle]], 800, 1333)
    boxes = torch.tensor([[100.0, 150, 500, 450]]) + 40 * torch.randn(128, 4)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        mask_targets(masks, boxes, torch.zeros(128, dtype=torch.long), 28)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.1
