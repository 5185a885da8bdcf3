"""CenterMask as a detector of mmdet: training, prediction, its errors, and the tools that are put around it."""

import copy
import json

import numpy as np
import pytest
import torch
from helpers.tiny_center_mask import image_sample, packed_batch, tiny_center_mask, tiny_config
from mmdet.apis import inference_detector
from mmdet.evaluation import CocoMetric
from mmdet.models.detectors import TwoStageDetector
from mmdet.visualization import DetLocalVisualizer
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope

import mmkd
from mmkd.models import CenterMask
from mmkd.registry import MODELS

LOSSES = {'loss_cls', 'loss_bbox', 'loss_centerness', 'loss_mask', 'loss_mask_iou'}
BOXES = [[10.0, 12, 60, 70], [50, 20, 120, 90]]


def losses_of(model, *samples):
    batch = model.data_preprocessor(packed_batch(*samples), training=True)
    return model.train()(**batch, mode='loss')


def predictions_of(model, *samples):
    return [sample.pred_instances for sample in model.eval().test_step(packed_batch(*samples))]


# --- building --------------------------------------------------------------------------------------------------------


def test_public_names_lead_to_the_detector():
    assert mmkd.CenterMask is CenterMask
    assert MODELS.get('mmkd.CenterMask') is MODELS.get('CenterMask') is CenterMask


def test_box_head_keeps_all_classes_and_its_weights_keep_their_names():
    """mmdet's TwoStageDetector would make the first stage class-agnostic and load ``bbox_head`` as ``rpn_head``."""
    model = tiny_center_mask(num_classes=7)
    assert model.bbox_head.num_classes == 7
    assert not isinstance(model, TwoStageDetector)
    state = model.state_dict()
    assert {name.split('.')[0] for name in state} == {'backbone', 'neck', 'bbox_head', 'roi_head'}
    model.load_state_dict(copy.deepcopy(state), strict=True)
    assert (model.with_neck, model.with_bbox, model.with_mask) == (True, True, True)


def test_building_leaves_the_config_as_it_was():
    config = Config(dict(model=tiny_config())).model
    before = copy.deepcopy(config.to_dict())
    MODELS.build(config)
    assert config.to_dict() == before


@pytest.mark.parametrize('part', ['mask_head', 'mask_iou_head'])
def test_unequal_numbers_of_classes_are_refused_by_name(part):
    config = tiny_config()
    config['roi_head'][part]['num_classes'] = 80
    with pytest.raises(ValueError, match=rf'bbox_head.num_classes is 3, but roi_head.{part}.num_classes is 80'):
        MODELS.build(config)


@pytest.mark.parametrize(
    ('path', 'message'),
    [
        (('test_cfg', 'bbox'), 'test_cfg: bbox missing'),
        (('test_cfg', 'bbox', 'nms'), 'test_cfg.bbox: nms missing'),
        (('train_cfg', 'rpn_proposal'), 'train_cfg: rpn_proposal missing'),
        (('train_cfg', 'rpn_proposal', 'max_per_img'), 'train_cfg.rpn_proposal: max_per_img missing'),
    ],
)
def test_missing_settings_are_named(path, message):
    config = tiny_config()
    part = config
    for key in path[:-1]:
        part = part[key]
    del part[path[-1]]
    with pytest.raises(ValueError, match=message):
        MODELS.build(config)


def test_training_without_its_settings_is_refused():
    model = tiny_center_mask(train_cfg=None)
    assert predictions_of(model, image_sample())
    with pytest.raises(ValueError, match='train_cfg: expected'):
        losses_of(model, image_sample(BOXES, [0, 1]))


# --- training --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('masks', ['polygon', 'bitmap'])
def test_all_losses_train_every_parameter(masks):
    model = tiny_center_mask()
    losses = losses_of(model, image_sample(BOXES, [0, 1], masks=masks), image_sample(BOXES[:1], [2], masks=masks))
    assert set(losses) == LOSSES
    assert all(loss.numel() == 1 and loss.isfinite() and loss > 0 for loss in losses.values())
    sum(losses.values()).backward()
    trained = [p for p in model.parameters() if p.requires_grad]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trained)
    assert sum(p.grad.abs().sum() > 0 for p in trained) > 0.9 * len(trained)


@pytest.mark.parametrize('silent', [False, True], ids=['proposals', 'no proposals'])
@pytest.mark.parametrize(
    'boxes', [[], [[3.0, 3, 3.5, 3.5]], [[70.0, 30, 70, 60]]], ids=['no objects', 'no positives', 'empty box']
)
def test_batches_without_positives_train_and_reach_every_parameter(boxes, silent):
    """DDP stops at a parameter without a gradient."""
    model = tiny_center_mask(chatty=not silent)
    if silent:
        torch.nn.init.constant_(model.bbox_head.conv_cls.bias, -20.0)
    losses = losses_of(model, image_sample(boxes, [0] * len(boxes)), image_sample())
    assert set(losses) == LOSSES
    assert losses['loss_bbox'].item() == losses['loss_centerness'].item() == 0
    if not boxes:
        assert losses['loss_mask'].item() == losses['loss_mask_iou'].item() == 0
    sum(losses.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


def test_an_empty_image_beside_a_full_one_changes_no_box_or_mask_loss():
    model = tiny_center_mask(seed=1)
    full, empty = image_sample(BOXES, [0, 1]), image_sample()
    alone, together = losses_of(model, full), losses_of(model, full, empty)
    for name in LOSSES - {'loss_cls'}:
        assert together[name].item() == pytest.approx(alone[name].item(), rel=1e-4)
    assert together['loss_cls'] > alone['loss_cls']


def test_crowded_images_train():
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(400, 2, generator=generator) * torch.tensor([100.0, 70])
    boxes = torch.cat([corners, corners + 4 + 20 * torch.rand(400, 2, generator=generator)], dim=1)
    losses = losses_of(tiny_center_mask(), image_sample(boxes.tolist(), [0] * 400))
    assert all(loss.isfinite() for loss in losses.values())
    assert losses['loss_mask'] > 0


def test_ground_truth_is_left_as_it_was():
    """mmdet clips the boxes it crops mask targets with in place, which on the CPU changes the proposals."""
    model, samples = tiny_center_mask(), [image_sample([[-10.0, -10, 60, 70], [50, 20, 140, 110]], [0, 1])]
    batch = model.data_preprocessor(packed_batch(*samples), training=True)
    before = copy.deepcopy(batch['data_samples'][0].gt_instances)
    model.train()(**batch, mode='loss')
    after = batch['data_samples'][0].gt_instances
    assert torch.equal(after.bboxes, before.bboxes)
    assert torch.equal(after.labels, before.labels)


def test_training_proposals_come_from_the_box_head_unclipped_and_detached(monkeypatch):
    model = tiny_center_mask()
    seen = []
    forward = model.roi_head.loss
    monkeypatch.setattr(
        model.roi_head, 'loss', lambda x, proposals, samples: seen.extend(proposals) or forward(x, proposals, samples)
    )
    losses_of(model, image_sample(BOXES, [0, 1]))
    (proposals,) = seen
    assert 50 < len(proposals) <= 100  # by train_cfg.rpn_proposal; test_cfg.bbox keeps 50
    assert not proposals.bboxes.requires_grad
    assert proposals.bboxes.min() < 0 or proposals.bboxes[:, 2].max() > 128
    assert (proposals.bboxes[:, 2] - proposals.bboxes[:, 0]).max() > 16
    assert proposals.labels.unique().numel() > 1


def test_images_without_masks_are_refused_with_what_to_do():
    with pytest.raises(KeyError, match='with_mask=True'):
        losses_of(tiny_center_mask(), image_sample(BOXES, [0, 1], masks=None))


def test_train_step_lowers_the_loss():
    model = tiny_center_mask()
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.002, momentum=0.9))
    batch = packed_batch(image_sample(BOXES, [0, 1]), image_sample(BOXES[:1], [2]))
    totals = [model.train().train_step(copy.deepcopy(batch), optimizer)['loss'].item() for _ in range(12)]
    assert totals[-1] < 0.5 * totals[0]


def test_losses_under_autocast_are_single_precision_and_train():
    model = tiny_center_mask()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = losses_of(model, image_sample(BOXES, [0, 1]))
    assert all(loss.dtype in (torch.float32, torch.float64) and loss.isfinite() for loss in losses.values())
    sum(losses.values()).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


# --- prediction ------------------------------------------------------------------------------------------------------


def test_predictions_are_of_the_original_image_with_mask_scores_beside_scores():
    model = tiny_center_mask()
    (result,) = predictions_of(model, image_sample(scale=0.5))
    assert 5 < len(result) <= 50
    assert set(result.keys()) == {'bboxes', 'scores', 'labels', 'masks', 'mask_scores'}
    assert result.masks.shape == (len(result), 192, 256)
    assert result.bboxes.min() >= 0
    assert result.bboxes[:, 0::2].max() <= 256
    assert result.bboxes[:, 1::2].max() <= 192
    assert (result.scores[:-1] >= result.scores[1:]).all()
    assert not torch.allclose(result.scores, result.mask_scores)
    # The scores stay those of the box stage.
    batch = model.data_preprocessor(packed_batch(image_sample(scale=0.5)), training=False)
    with torch.no_grad():
        boxes = model.bbox_head.predict(model.extract_feat(batch['inputs']), batch['data_samples'], rescale=False)[0]
    assert set(result.scores.tolist()) <= set(boxes.scores.tolist())


def test_predictions_in_input_pixels_on_request():
    model = tiny_center_mask().eval()
    batch = model.data_preprocessor(packed_batch(image_sample(scale=0.5)), training=False)
    with torch.no_grad():
        (small,) = model.predict(batch['inputs'], copy.deepcopy(batch['data_samples']), rescale=False)
        (large,) = model.predict(batch['inputs'], copy.deepcopy(batch['data_samples']))
    assert small.pred_instances.masks.shape[1:] == (96, 128)
    torch.testing.assert_close(small.pred_instances.bboxes * 2, large.pred_instances.bboxes)


def test_images_of_different_sizes_do_not_influence_each_other():
    """Padding neither moves a box nor changes the level its mask is read from."""
    model = tiny_center_mask()
    small, large = image_sample(height=64, width=96), image_sample(height=96, width=160)
    together = model.eval().test_step(packed_batch(large, small, seed=3))
    alone = model.test_step(packed_batch(large, seed=3))
    for sample, other in zip(together[:1], alone, strict=True):
        for part in ('bboxes', 'scores', 'mask_scores'):
            torch.testing.assert_close(sample.pred_instances[part], other.pred_instances[part], rtol=1e-4, atol=1e-3)
    assert together[1].pred_instances.masks.shape[1:] == (64, 96)


def test_nothing_found_gives_empty_predictions():
    model = tiny_center_mask(chatty=False)
    torch.nn.init.constant_(model.bbox_head.conv_cls.bias, -20.0)
    (result,) = predictions_of(model, image_sample(scale=0.5))
    assert len(result) == 0
    assert result.masks.shape == (0, 192, 256)
    assert result.bboxes.shape == (0, 4)
    assert result.mask_scores.shape == (0,)


def test_tensor_mode_gives_the_outputs_of_both_stages():
    model = tiny_center_mask().eval()
    images = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        (cls_scores, bbox_preds, centernesses), (masks, mask_ious) = model(images)
        with_samples = model(images, [image_sample(height=64, width=96)] * 2, mode='tensor')
    assert [level.shape[1] for level in (cls_scores[0], bbox_preds[0], centernesses[0])] == [3, 4, 1]
    assert len(cls_scores) == 5
    assert masks.shape[1:] == (3, 28, 28)
    assert mask_ious.shape == (len(masks), 3)
    assert torch.equal(with_samples[1][0], masks)


# --- the tools of mmdet ----------------------------------------------------------------------------------------------


def coco_gt_file(folder, boxes):
    def annotation(i, box):
        x1, y1, x2, y2 = box
        polygon = [[x1, y1, x2, y1, x2, y2, x1, y2]]
        area = (x2 - x1) * (y2 - y1)
        return dict(
            id=i + 1,
            image_id=0,
            category_id=1,
            bbox=[x1, y1, x2 - x1, y2 - y1],
            area=area,
            iscrowd=0,
            segmentation=polygon,
        )

    path = folder / 'gt.json'
    images = [dict(id=0, width=128, height=96, file_name='0.jpg')]
    categories = [dict(id=i + 1, name=name) for i, name in enumerate('abc')]
    path.write_text(
        json.dumps(dict(images=images, categories=categories, annotations=[annotation(*a) for a in enumerate(boxes)]))
    )
    return str(path)


def test_coco_metric_ranks_masks_by_mask_scores_and_boxes_by_scores(tmp_path):
    """One object and two boxes: the better box has the better score, the better mask the better mask score."""
    good, bad = [20.0, 20, 80, 80], [50.0, 50, 110, 90]
    metric = CocoMetric(coco_gt_file(tmp_path, [good]), metric=['bbox', 'segm'])
    metric.dataset_meta = dict(classes=('a', 'b', 'c'))
    (sample,) = tiny_center_mask().eval().test_step(packed_batch(image_sample()))
    result = sample.pred_instances[:2]
    assert len(result) == 2
    result.labels = torch.zeros(2, dtype=torch.long)
    result.bboxes = torch.tensor([good, bad])
    result.scores = torch.tensor([0.9, 0.5])
    masks = torch.zeros(2, 96, 128, dtype=torch.bool)
    masks[0, 50:90, 50:110] = True
    masks[1, 20:80, 20:80] = True
    result.masks, result.mask_scores = masks, torch.tensor([0.1, 0.4])
    sample.pred_instances = result
    metric.process({}, [sample.to_dict()])
    scores = metric.evaluate(size=1)
    assert scores['coco/bbox_mAP'] == pytest.approx(1.0)
    assert scores['coco/segm_mAP'] == pytest.approx(1.0)  # 0.5 if masks were ranked by the scores of boxes


def test_inference_detector_and_visualizer(tmp_path):
    model = tiny_center_mask()
    pipeline = [
        dict(type='LoadImageFromFile', backend_args=None),
        dict(type='Resize', scale=(128, 96), keep_ratio=True, backend='pillow'),
        dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
        dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
    ]
    model.cfg = Config(dict(test_dataloader=dict(dataset=dict(pipeline=pipeline))))
    model.dataset_meta = dict(classes=('a', 'b', 'c'), palette=[(255, 0, 0), (0, 255, 0), (0, 0, 255)])
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    with DefaultScope.overwrite_default_scope('mmdet'):
        result = inference_detector(model.eval(), image)
    assert result.pred_instances.masks.shape[1:] == (120, 160)
    visualizer = DetLocalVisualizer()
    visualizer.dataset_meta = model.dataset_meta
    path = tmp_path / 'drawn.png'
    visualizer.add_datasample('x', image, result, draw_gt=False, pred_score_thr=0.1, out_file=str(path))
    assert path.stat().st_size > 0
    assert not np.array_equal(visualizer.get_image(), image)
