"""Assembled masks against the plain way: for each object resize its shape, cut the saliency out, multiply."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.structures.mask import BitmapMasks, PolygonMasks

from mmkd.models.dense_heads.mask_assembly import assemble_logits, cells_of_boxes, masks_at_stride, sample_planes
from mmkd.models.losses import ProductMaskLoss

HEIGHT, WIDTH = 18, 26
# Whole cells; some reach beyond the map, one covers it and more, two are one cell wide or high.
BOXES = [
    [[2, 3, 9, 14], [0, 0, 26, 18], [20, 10, 33, 25], [-7, -5, 6, 4], [4, 4, 5, 15]],
    [],
    [[-3, -2, 30, 22], [10, 7, 21, 8], [3, 3, 4, 4]],
]


def case(dtype=torch.float64, size=8, channels=2):
    torch.manual_seed(0)
    boxes = torch.tensor([box for boxes in BOXES for box in boxes], dtype=dtype)
    image = torch.tensor([i for i, boxes in enumerate(BOXES) for _ in boxes])
    channel = torch.randint(0, channels, (len(boxes),))
    shapes = torch.randn(len(boxes), size, size, dtype=dtype, requires_grad=True)
    saliency = torch.randn(len(BOXES), channels, HEIGHT, WIDTH, dtype=dtype, requires_grad=True)
    return boxes, image, channel, shapes, saliency


def naive_masks(boxes, image, channel, shapes, saliency):
    """One object after the other: the part of each mask that is on the map."""
    masks = []
    for box, i, c, shape in zip(boxes.long().tolist(), image, channel, shapes, strict=True):
        x1, y1, x2, y2 = box
        size = (y2 - y1, x2 - x1)
        local = F.interpolate(shape[None, None], size, mode='bilinear', align_corners=False)[0, 0]
        left, top, right, bottom = max(x1, 0), max(y1, 0), min(x2, WIDTH), min(y2, HEIGHT)
        local = local[top - y1 : bottom - y1, left - x1 : right - x1]
        masks.append(local.sigmoid() * saliency[i, c, top:bottom, left:right].sigmoid())
    return masks


def assembled(boxes, image, channel, shapes, saliency):
    cells = cells_of_boxes(boxes, HEIGHT, WIDTH)
    plane = image * saliency.shape[1] + channel
    local, glob = assemble_logits(shapes, saliency.flatten(0, 1), boxes, plane, cells)
    return cells, local, glob


@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('size', [1, 8, 32])
def test_masks_are_those_of_the_loop(size, channels):
    inputs = case(size=size, channels=channels)
    cells, local, glob = assembled(*inputs)
    expected = naive_masks(*inputs)
    assert cells.count.tolist() == [mask.numel() for mask in expected]
    torch.testing.assert_close(local.sigmoid() * glob.sigmoid(), torch.cat([mask.flatten() for mask in expected]))


def test_loss_and_gradients_are_those_of_the_loop():
    inputs = case()
    shapes, saliency = inputs[3:]
    targets = [torch.rand_like(mask) for mask in naive_masks(*inputs)]
    naive = torch.stack(
        [F.binary_cross_entropy(m, t) for m, t in zip(naive_masks(*inputs), targets, strict=True)]
    ).mean()
    cells, local, glob = assembled(*inputs)
    loss = ProductMaskLoss()(local, glob, torch.cat([t.flatten() for t in targets]), cells.box, cells.count)
    torch.testing.assert_close(loss, naive)
    for ours, theirs in zip(
        torch.autograd.grad(loss, (shapes, saliency)), torch.autograd.grad(naive, (shapes, saliency)), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_boxes_between_the_cells_are_sampled_at_the_middles_of_the_cells():
    torch.manual_seed(0)
    boxes = torch.tensor([[1.3, 2.6, 7.9, 11.2], [-2.4, 0.5, 3.1, 4.25]], dtype=torch.float64)
    shapes = torch.randn(2, 8, 8, dtype=torch.float64)
    saliency = torch.randn(1, HEIGHT, WIDTH, dtype=torch.float64)
    cells = cells_of_boxes(boxes, HEIGHT, WIDTH)
    local, glob = assemble_logits(shapes, saliency, boxes, torch.zeros(2, dtype=torch.long), cells)
    for k, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
        mine = cells.box == k
        grid_x = (cells.column[mine].double() + 0.5 - x1) / (x2 - x1) * 2 - 1
        grid_y = (cells.row[mine].double() + 0.5 - y1) / (y2 - y1) * 2 - 1
        grid = torch.stack([grid_x, grid_y], 1)[None, None]
        expected = F.grid_sample(shapes[k][None, None], grid, padding_mode='border', align_corners=False)
        torch.testing.assert_close(local[mine], expected.flatten())
        torch.testing.assert_close(glob[mine], saliency[0, cells.row[mine], cells.column[mine]])
    # 1.3 to 7.9 touches columns 1 to 7, 2.6 to 11.2 rows 2 to 11; the other one columns 0 to 3, rows 0 to 4
    assert cells.count.tolist() == [7 * 10, 4 * 5]


def test_pixels_of_an_image_are_the_maps_up_sampled():
    """A lattice four times as fine is what interpolation of the whole map gives."""
    torch.manual_seed(0)
    boxes = torch.tensor([[0.0, 0.0, WIDTH, HEIGHT]], dtype=torch.float64)
    shapes = torch.randn(1, 8, 8, dtype=torch.float64)
    saliency = torch.randn(1, HEIGHT, WIDTH, dtype=torch.float64)
    cells = cells_of_boxes(boxes * 4, HEIGHT * 4, WIDTH * 4)
    local, glob = assemble_logits(shapes, saliency, boxes, torch.zeros(1, dtype=torch.long), cells, scale=(0.25, 0.25))
    size = (HEIGHT * 4, WIDTH * 4)
    for values, maps in ((local, shapes), (glob, saliency)):
        expected = F.interpolate(maps[None], size, mode='bilinear', align_corners=False).flatten()
        torch.testing.assert_close(values, expected)
    shifted = cells_of_boxes(boxes * 4, 4, 4)
    _, glob = assemble_logits(shapes, saliency, boxes, torch.zeros(1, dtype=torch.long), shifted, origin=(3.0, 2.0))
    torch.testing.assert_close(glob, saliency[0, 2:6, 3:7].flatten())


def test_samples_have_the_gradient_of_their_plane_alone():
    planes = torch.zeros(3, 2, 2, dtype=torch.float64, requires_grad=True)
    value = sample_planes(planes, torch.tensor([1]), torch.tensor([2.0]).double(), torch.tensor([1.0]).double())
    value.sum().backward()
    expected = torch.zeros(3, 2, 2).double()
    expected[1, 1] = 0.5  # the last row, half way between its columns
    torch.testing.assert_close(planes.grad, expected)


def test_no_objects_give_no_cells_and_a_gradient_of_zero():
    shapes = torch.zeros(0, 8, 8, requires_grad=True)
    saliency = torch.zeros(1, HEIGHT, WIDTH, requires_grad=True)
    none, index = torch.zeros(0, 4), torch.zeros(0, dtype=torch.long)
    cells = cells_of_boxes(none, HEIGHT, WIDTH)
    local, glob = assemble_logits(shapes, saliency, none, index, cells)
    loss = ProductMaskLoss()(local, glob, torch.zeros(0), cells.box, cells.count)
    loss.backward()
    assert loss == 0 and saliency.grad.abs().sum() == 0


@pytest.mark.parametrize('box', [[30, 3, 40, 9], [-9, 3, 0, 9], [5, 5, 5, 9], [3, 18, 9, 30], [9, 3, 4, 8]])
def test_boxes_outside_or_without_area_have_no_cells(box):
    assert cells_of_boxes(torch.tensor([box], dtype=torch.float32), HEIGHT, WIDTH).count.tolist() == [0]


# -------------------------------------------------------------------------------------------------------------- targets


def test_targets_are_the_covered_parts_of_the_cells():
    bitmap = np.zeros((2, 6, 10), np.uint8)
    bitmap[0, 1:5, 2:9] = 1
    bitmap[1] = 1
    found = masks_at_stride(BitmapMasks(bitmap, 6, 10), torch.tensor([1, 0]), 2, 4, 4, torch.device('cpu'))
    # Rows 1 to 4 and columns 2 to 8: of the first row of cells 3 rows, of the second 1; columns 2, 4 and 1 of 4.
    partly = torch.tensor([[6.0, 12.0, 3.0, 0.0], [2.0, 4.0, 1.0, 0.0]]) / 16
    whole = torch.tensor([[1.0, 1.0, 0.5, 0.0], [0.5, 0.5, 0.25, 0.0]])
    torch.testing.assert_close(found, torch.stack([whole, partly]))


def test_polygons_give_the_targets_of_their_bitmaps():
    polygons = PolygonMasks([[np.array([2.0, 1.0, 13.0, 2.0, 7.0, 14.0])]], 16, 16)
    bitmaps = BitmapMasks(polygons.to_ndarray(), 16, 16)
    first = torch.tensor([0])
    found = [masks_at_stride(masks, first, 4, 4, 4, torch.device('cpu')) for masks in (polygons, bitmaps)]
    assert torch.equal(*found) and 0 < found[0].sum() < 16


def test_other_masks_are_named():
    with pytest.raises(TypeError, match='gt_instances.masks: got ndarray'):
        masks_at_stride(np.zeros((1, 4, 4)), torch.tensor([0]), 1, 1, 4, torch.device('cpu'))
