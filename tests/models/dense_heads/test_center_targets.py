"""Targets at object centres: published radii and Gaussians, and what mmdet's CenterNet draws."""

import pytest
import torch
from mmdet.models.utils.gaussian_target import gaussian_radius, gen_gaussian_target
from mmengine.structures import InstanceData

from mmkd.models.dense_heads.center_targets import center_targets, cornernet_radius, draw_gaussians, exact_radius

SIZES = [(10, 10), (20, 37), (5, 60), (1, 1)]


def radius_of(function, height, width, *args):
    return function(torch.tensor(height), torch.tensor(width), *args).item()


@pytest.mark.parametrize(
    ('size', 'expected'),
    list(zip(SIZES, (2.7332005306815113, 7.149016992919208, 2.6897291961679315, 0.2733200530681512), strict=True)),
)
def test_cornernet_radius_is_the_published_one(size, expected):
    assert radius_of(cornernet_radius, *size) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize('min_overlap', [0.3, 0.7])
@pytest.mark.parametrize('size', SIZES)
def test_exact_radius_is_mmdets(size, min_overlap):
    assert radius_of(exact_radius, *size, min_overlap) == pytest.approx(gaussian_radius(size, min_overlap), abs=1e-12)


def test_the_two_radii_differ_as_known():
    found = [radius_of(exact_radius, *size, 0.7) for size in SIZES[:3]]
    assert found == pytest.approx([0.8167, 2.1025, 0.7077], abs=1e-4)


def test_gaussian_of_radius_2_is_the_published_one():
    one = torch.tensor([3])
    heatmap = draw_gaussians((1, 1, 7, 7), torch.tensor([0]), one, one, torch.tensor([2]))
    expected = torch.tensor(
        [
            [0.0032, 0.0273, 0.0561, 0.0273, 0.0032],
            [0.0273, 0.2369, 0.4868, 0.2369, 0.0273],
            [0.0561, 0.4868, 1.0000, 0.4868, 0.0561],
        ]
    )
    torch.testing.assert_close(heatmap[0, 0, 1:4, 1:6], expected, rtol=0, atol=5e-5)
    torch.testing.assert_close(heatmap[0, 0, 3:6, 1:6], expected.flip(0), rtol=0, atol=5e-5)
    assert heatmap[0, 0, 3, 3] == 1 and heatmap[0, 0, 0].sum() == 0 and heatmap[0, 0, :, 0].sum() == 0


@pytest.mark.parametrize('max_values', [2**24, 200])
def test_all_objects_at_once_are_drawn_as_one_after_the_other(max_values, monkeypatch):
    monkeypatch.setattr('mmkd.models.dense_heads.center_targets._MAX_VALUES', max_values)
    torch.manual_seed(0)
    shape, number = (2, 3, 20, 31), 40
    plane, column, row, radius = (torch.randint(0, top, (number,)) for top in (6, 31, 20, 9))
    expected = torch.zeros(shape)
    for p, x, y, r in zip(plane.tolist(), column.tolist(), row.tolist(), radius.tolist(), strict=True):
        gen_gaussian_target(expected.view(6, 20, 31)[p], (x, y), r)
    torch.testing.assert_close(draw_gaussians(shape, plane, column, row, radius), expected)


def instances(boxes, labels):
    return InstanceData(bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), labels=torch.tensor(labels))


def test_targets_worked_out_by_hand():
    batch = [
        instances([[8, 4, 30, 16]], [1]),
        instances([], torch.zeros(0, dtype=torch.long).tolist()),
        instances([[0, 0, 41, 44], [4, 4, 4, 12], [60, 0, 90, 8]], [0, 0, 1]),  # no width; centre outside of the map
    ]
    batch[1].labels = torch.zeros(0, dtype=torch.long)
    targets = center_targets(batch, (3, 2, 16, 16), stride=4)
    # (8 + 30) / 2 / 4 = 4.75, (4 + 16) / 2 / 4 = 2.5; (0 + 41) / 8 = 5.125, 5.5
    assert targets.image.tolist() == [0, 2]
    assert targets.label.tolist() == [1, 0]
    assert targets.number.tolist() == [0, 0]
    assert targets.column.tolist() == [4, 5] and targets.row.tolist() == [2, 5]
    assert targets.offset.tolist() == [[0.75, 0.5], [0.125, 0.5]]
    assert targets.size.tolist() == [[5.5, 3.0], [10.25, 11.0]]
    assert targets.box.tolist() == [[2, 1, 7.5, 4], [0, 0, 10.25, 11]]
    # CornerNet's radius of whole sides: 6 x 3 -> 1.22 -> 1; 11 x 11 -> 3.0065 -> 3
    row = targets.heatmap[2, 0, 5]
    assert row[2] > 0 and row[8] > 0 and row[1] == row[9] == 0
    assert targets.heatmap[0, 1, 2, 3] > 0 and targets.heatmap[0, 1, 2, 2] == 0
    assert (targets.heatmap == 1).sum() == 2 and targets.heatmap[1].sum() == 0


def test_with_the_exact_radius_heatmaps_are_those_of_mmdets_centernet():
    from mmdet.models.dense_heads import CenterNetHead

    torch.manual_seed(0)
    corners = torch.rand(12, 2) * 80
    boxes = torch.cat([corners, corners + 3 + torch.rand(12, 2) * 45], 1)
    labels = torch.randint(0, 3, (12,))
    head = CenterNetHead(4, 4, 3)
    theirs, count = head.get_targets([boxes[:5], boxes[5:]], [labels[:5], labels[5:]], (2, 3, 32, 32), (128, 128))
    batch = [instances(b.tolist(), k.tolist()) for b, k in ((boxes[:5], labels[:5]), (boxes[5:], labels[5:]))]
    ours = center_targets(batch, (2, 3, 32, 32), stride=4, radius='exact', min_overlap=0.3)
    torch.testing.assert_close(ours.heatmap, theirs['center_heatmap_target'])
    assert (ours.heatmap == 1).sum() == count
    at = (ours.image, slice(None), ours.row, ours.column)
    torch.testing.assert_close(theirs['wh_target'][at], ours.size)
    torch.testing.assert_close(theirs['offset_target'][at], ours.offset)
