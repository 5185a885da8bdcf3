"""Instances of several views of an image become one list."""

from pkgutil import resolve_name

import pytest
import torch
from helpers.tiny_center_mask import tiny_center_mask
from mmdet.structures import DetDataSample
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from mmkd.models import InstanceTTAModel
from mmkd.registry import MODELS

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


# -------------------------------------------------------------------------------------- masks after boxes are merged


def views_of_a_batch():
    """Two images, each in three views: as it is, flipped, and flipped at another scale."""
    generator = torch.Generator().manual_seed(0)
    sizes = ((64, 96), (96, 64))
    images = [torch.randint(0, 256, (3, *size), generator=generator, dtype=torch.uint8) for size in sizes]
    data = dict(inputs=[], data_samples=[])
    for scale, direction, dims in ((1, None, []), (1, 'horizontal', [2]), (2, 'vertical', [1])):
        seen = [image.repeat_interleave(scale, 1).repeat_interleave(scale, 2).flip(dims) for image in images]
        data['inputs'].append(seen)
        flip = dict(flip=direction is not None, flip_direction=direction, scale_factor=(scale, scale))
        samples = [
            DetDataSample(metainfo=dict(img_shape=tuple(image.shape[1:]), ori_shape=size, **flip))
            for image, size in zip(seen, sizes, strict=True)
        ]
        data['data_samples'].append(samples)
    return data


def center_mask():
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = tiny_center_mask()
    model.bbox_head.conv_cls.bias.data.fill_(-2.5)
    torch.nn.init.normal_(model.roi_head.mask_head.conv_logits.weight, std=3.0)
    return model, 'mmkd.models.roi_heads.center_mask_roi_head.paste_masks'


def point_center_mask():
    torch.manual_seed(0)
    config = dict(
        type='mmkd.PointCenterMask',
        data_preprocessor=dict(type='DetDataPreprocessor', mean=[128] * 3, std=[64] * 3, pad_size_divisor=32),
        backbone=dict(type='mmkd.DLA', depth='46_c', out_indices=(2, 3, 4), norm_cfg=dict(type='GN', num_groups=4)),
        neck=dict(type='mmkd.DLANeck', in_channels=(64, 64, 128), norm_cfg=dict(type='GN', num_groups=4)),
        bbox_head=dict(type='mmkd.PointCenterMaskHead', num_classes=3, in_channels=64, feat_channels=8, shape_size=8),
        test_cfg=dict(max_per_img=30),
    )
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(config)
    model.init_weights()
    torch.nn.init.constant_(model.bbox_head.size_head[2].bias, 5.0)
    torch.nn.init.constant_(model.bbox_head.saliency_head[2].bias, 3.0)
    torch.nn.init.normal_(model.bbox_head.shape_head[2].weight, std=10.0)
    return model, 'mmkd.models.dense_heads.point_center_mask_head.paste_point_masks'


@pytest.mark.parametrize('make', [center_mask, point_center_mask])
def test_masks_are_made_for_the_merged_boxes_only_and_are_the_same(make, monkeypatch):
    module, name = make()
    tta = InstanceTTAModel(tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=7), module=module).eval()
    original, pasted = resolve_name(name), []

    def paste(masks, *args):
        pasted.append(len(masks))
        return original(masks, *args)

    monkeypatch.setattr(name, paste)
    with torch.no_grad():
        merged = tta.test_step(views_of_a_batch())
        numbers = sum(pasted)
        pasted.clear()
        expected = super(InstanceTTAModel, tta).test_step(views_of_a_batch())  # masks of all views first
    assert numbers == sum(len(sample.pred_instances) for sample in merged) == 14
    assert sum(pasted) > 2 * numbers
    for ours, theirs in zip(merged, expected, strict=True):
        assert ours.ori_shape == theirs.ori_shape
        ours, theirs = ours.pred_instances, theirs.pred_instances
        assert set(ours.keys()) == set(theirs.keys())
        for key in set(ours.keys()) - {'masks'}:
            torch.testing.assert_close(ours[key], theirs[key], rtol=1e-5, atol=1e-4, msg=key)
        assert ours.masks.any() and (ours.masks != theirs.masks).float().mean() < 1e-3


def test_views_in_which_nothing_is_found():
    module, _ = center_mask()
    module.bbox_head.conv_cls.bias.data.fill_(-20.0)
    tta = InstanceTTAModel(tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=7), module=module).eval()
    with torch.no_grad():
        merged = tta.test_step(views_of_a_batch())
    assert [tuple(sample.pred_instances.masks.shape) for sample in merged] == [(0, 64, 96), (0, 96, 64)]
