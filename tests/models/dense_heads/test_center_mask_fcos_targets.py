"""What the box head of CenterMask learns at which location, against the original and mmdet."""

import numpy as np
import pytest
import torch
from helpers.fcos_heads import plain_fcos_head, small_head
from helpers.golden import golden_arrays
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.structures import InstanceData


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
