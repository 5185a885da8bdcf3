"""Instances of several views of an image become one list."""

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.model import BaseModel
from mmengine.structures import InstanceData

from mmkd.models import InstanceTTAModel

HEIGHT, WIDTH = 8, 10


class Detector(BaseModel):
    def forward(self, inputs, data_samples=None, mode='tensor'):
        raise NotImplementedError


@pytest.fixture
def model():
    return InstanceTTAModel(tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.6), max_per_img=3), module=Detector())


def view(boxes, scores, labels, flip=None):
    """A view as a detector would return it: masks fill the boxes, coordinates are those of the flipped image."""
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    masks = torch.zeros(len(boxes), HEIGHT, WIDTH, dtype=torch.bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
        mask[y1:y2, x1:x2] = True
    scores = torch.tensor(scores, dtype=torch.float32)
    instances = InstanceData(
        bboxes=boxes, scores=scores, labels=torch.tensor(labels).long(), masks=masks, mask_scores=scores / 2
    )
    meta = dict(ori_shape=(HEIGHT, WIDTH), img_shape=(HEIGHT, WIDTH), flip=flip is not None, flip_direction=flip)
    return DetDataSample(metainfo=meta, pred_instances=instances)


@pytest.mark.parametrize(
    ('flip', 'expected'),
    [(None, [1, 2, 4, 7]), ('horizontal', [6, 2, 9, 7]), ('vertical', [1, 1, 4, 6]), ('diagonal', [6, 1, 9, 6])],
)
def test_boxes_and_masks_are_turned_back_together(model, flip, expected):
    merged = model._merge_single_sample([view([[1, 2, 4, 7]], [0.5], [0], flip)]).pred_instances
    assert merged.bboxes[0].tolist() == expected
    rows, columns = merged.masks[0].nonzero(as_tuple=True)
    assert [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] == expected


def test_the_best_view_of_an_instance_stays_with_its_own_mask(model):
    plain = view([[1, 2, 4, 7], [6, 0, 9, 3]], [0.5, 0.4], [0, 1])
    flipped = view([[6, 2, 9, 7]], [0.9], [0], 'horizontal')  # the first instance again
    merged = model._merge_single_sample([plain, flipped]).pred_instances
    assert merged.scores.tolist() == pytest.approx([0.9, 0.4])
    assert merged.mask_scores.tolist() == pytest.approx([0.45, 0.2])
    assert merged.labels.tolist() == [0, 1]
    assert merged.masks.shape == (2, HEIGHT, WIDTH)
    assert torch.equal(merged.masks, view([[1, 2, 4, 7], [6, 0, 9, 3]], [0, 0], [0, 1]).pred_instances.masks)


def test_classes_do_not_suppress_each_other_and_the_best_are_kept(model):
    boxes = [[1, 2, 4, 7]] * 4
    merged = model._merge_single_sample([view(boxes, [0.1, 0.4, 0.3, 0.2], [0, 1, 2, 3])]).pred_instances
    assert merged.labels.tolist() == [1, 2, 3]


def test_views_without_instances_give_none(model):
    merged = model._merge_single_sample([view([], [], []), view([], [], [], 'horizontal')]).pred_instances
    assert len(merged) == 0
    assert merged.masks.shape == (0, HEIGHT, WIDTH)


def test_the_views_are_left_as_they_were(model):
    flipped = view([[6, 2, 9, 7]], [0.9], [0], 'horizontal')
    before = flipped.pred_instances.bboxes.clone()
    instances = flipped.pred_instances
    model._merge_single_sample([view([], [], []), flipped])
    assert torch.equal(instances.bboxes, before)
