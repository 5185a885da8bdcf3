"""Masks made by numpy alone are those that the models make."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmkd.apis.export.pasting import assemble_masks, paste_masks, upsample_masks

HEIGHT, WIDTH = 90, 70


def boxes_around(number, rng):
    corner = rng.uniform(-10, 60, (number, 2))
    return np.concatenate([corner, corner + rng.uniform(2, 60, (number, 2))], 1).astype(np.float32)


def test_masks_of_boxes_are_those_of_the_model():
    from mmkd.models.roi_heads.mask_pasting import paste_masks as of_model

    rng = np.random.default_rng(0)
    boxes = boxes_around(12, rng)
    boxes = boxes[(boxes[:, 0] < WIDTH) & (boxes[:, 1] < HEIGHT)]
    probabilities = rng.random((len(boxes), 28, 28), dtype=np.float32)
    expected = of_model(torch.from_numpy(probabilities), torch.from_numpy(boxes), HEIGHT, WIDTH, 0.5).numpy()
    given = paste_masks(probabilities, boxes, HEIGHT, WIDTH, 0.5)
    assert (given != expected).mean() < 1e-4
    assert given.any()


def test_a_full_mask_fills_its_box():
    mask = paste_masks(np.ones((1, 4, 4)), np.array([[2.0, 1.0, 5.0, 3.0]]), 4, 7)[0]
    expected = np.zeros((4, 7), dtype=bool)
    expected[1:3, 2:5] = True
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize(('stride', 'scale'), [(8, 1.0), (8, 0.37), (4, 1.9)])
def test_masks_of_a_grid_are_those_of_mmdet(stride, scale):
    logits = torch.randn(5, 12, 10)
    size = [int(np.ceil(side * stride * scale)) for side in logits.shape[1:]]
    height, width = size[0] - 3, size[1] - 5
    whole = F.interpolate(logits[None], scale_factor=stride, mode='bilinear')
    whole = F.interpolate(whole, size=size, mode='bilinear', align_corners=False)[0, :, :height, :width]
    given = upsample_masks(logits.numpy(), stride, np.array(size), height, width, 0.5)
    assert (given != (whole.sigmoid() > 0.5).numpy()).mean() < 1e-4


@pytest.mark.parametrize('scale', [(0.25, 0.25), (0.4, 0.31)])
def test_masks_of_shapes_and_saliency_are_those_of_the_model(scale):
    from mmkd.models.dense_heads.point_mask_decoding import Frame, paste_point_masks

    rng = np.random.default_rng(1)
    shapes, saliency = rng.normal(size=(6, 16, 16)), rng.normal(size=(2, 24, 20)) + 1
    boxes = boxes_around(6, rng) * np.array([*scale, *scale], np.float32)
    plane = np.array([0, 1, 0, 1, 1, 0])
    tensors = [torch.from_numpy(x.astype(np.float32)) for x in (shapes, saliency, boxes)]
    frame = Frame(HEIGHT, WIDTH, scale, (0.0, 0.0))
    expected = paste_point_masks(*tensors, torch.from_numpy(plane), frame, 0.4).numpy()
    given = assemble_masks(shapes, saliency, boxes, plane, np.array(scale), HEIGHT, WIDTH, 0.4)
    assert (given != expected).mean() < 1e-4
    assert given.any()


@pytest.mark.parametrize('size', [0])
def test_no_objects_give_no_masks(size):
    boxes = np.zeros((size, 4))
    assert paste_masks(np.zeros((size, 28, 28)), boxes, 5, 6).shape == (0, 5, 6)
    assert upsample_masks(np.zeros((size, 4, 4)), 8, np.array([32, 32]), 5, 6).shape == (0, 5, 6)
    given = assemble_masks(np.zeros((size, 8, 8)), np.zeros((1, 4, 4)), boxes, np.zeros(0, int), (1, 1), 5, 6)
    assert given.shape == (0, 5, 6)
