"""The RoI head of CenterMask: sampling, losses, and results in the pixels of the image."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.golden import golden_keys
from helpers.roi_head_cases import (
    CHANNELS,
    NUM_CLASSES,
    make_features,
    make_proposals,
    make_roi_head,
    make_sample,
    rectangle,
    to_bitmaps,
    unit_arrays,
)
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmkd.registry import MODELS

GT = [[4.0, 4.0, 40.0, 36.0], [50.0, 10.0, 90.0, 60.0]]
NEAR_GT = [[-3.0, -2.0, 41.0, 37.0], [48.0, 12.0, 92.0, 60.0]]
NOWHERE = [60.0, 0.0, 64.0, 4.0]


def record_calls(module):
    """The positional and named arguments of each call of a module."""
    calls = []
    module.register_forward_pre_hook(lambda _, args, kwargs: calls.append((args, kwargs)), with_kwargs=True)
    return calls


def set_predictions(head, logits, mask_ious=None):
    """Makes the head predict (N, H, W) logits for all classes, and (N,) mask IoUs for all classes."""
    logits = torch.as_tensor(logits)
    head.mask_head.forward = lambda feats: logits[:, None].expand(-1, NUM_CLASSES, -1, -1)
    if mask_ious is not None:
        ious = torch.as_tensor(mask_ious)
        head.mask_iou_head.forward = lambda feats, masks: ious[:, None].expand(-1, NUM_CLASSES)
    return head


# ------------------------------------------------------------------------------------------------------ training


def test_losses_are_those_of_the_positive_rois():
    """Worked out from the parts: three positive RoIs, two of them ground truth."""
    head, feats = make_roi_head(), make_features(1)
    sample = make_sample(GT, labels=[2, 1])
    losses = head.loss(feats, [make_proposals([NEAR_GT[0], NOWHERE], labels=[0, 0])], [sample])
    assert set(losses) == {'loss_mask', 'loss_mask_iou'}

    boxes, labels = torch.tensor([*GT, NEAR_GT[0]]), torch.tensor([2, 1, 2])
    rois = torch.cat([torch.zeros(3, 1), boxes], dim=1)
    pooled = head.mask_roi_extractor(feats[:3], rois, img_shapes=[(64, 96)])
    logits = head.mask_head(pooled)[torch.arange(3), labels]
    # The instances are their boxes, so the first two targets are full; of the third box the part within (4, 4, 40, 36):
    # in cells of 44/28 x 39/28 px, columns 4.45 to 27.36 and rows 4.31 to 27.28.
    targets = torch.ones(3, 28, 28)
    targets[2] = 0
    targets[2, 4:27, 4:27] = 1
    assert losses['loss_mask'].item() == pytest.approx(
        F.binary_cross_entropy_with_logits(logits, targets).item(), rel=1e-4
    )
    predicted = logits > 0
    intersection = (predicted & (targets > 0)).sum((1, 2))
    target_ious = intersection / (predicted.sum((1, 2)) + targets.sum((1, 2)) - intersection)
    ious = head.mask_iou_head(pooled, logits)[torch.arange(3), labels]
    assert losses['loss_mask_iou'].item() == pytest.approx(0.5 * F.mse_loss(ious, target_ious).item(), rel=1e-3)


def test_labels_are_those_of_the_matched_instances_and_proposals_stay_as_they_are():
    head = make_roi_head()
    proposals = make_proposals(NEAR_GT, labels=[0, 0])
    before = proposals.bboxes.clone()
    (result,) = head.sample_rois([proposals], [make_sample(GT, labels=[2, 1])])
    assert result.pos_gt_labels.tolist() == [2, 1, 2, 1]
    assert result.pos_assigned_gt_inds.tolist() == [0, 1, 0, 1]
    head.loss(make_features(1), [proposals], [make_sample(GT, labels=[2, 1])])
    assert torch.equal(proposals.bboxes, before)
    assert set(proposals.keys()) == {'bboxes', 'scores', 'labels'}


def test_rois_are_pooled_and_targets_cut_with_boxes_as_they_are():
    head = make_roi_head()
    calls = record_calls(head.mask_roi_extractor)
    outputs = head.mask_loss(
        make_features(1),
        head.sample_rois([make_proposals(NEAR_GT[:1])], [make_sample(GT[:1])]),
        [make_sample(GT[:1])],
    )
    assert calls[0][0][1][:, 1:].tolist() == [GT[0], NEAR_GT[0]]
    # Rows of 39/28 px from -2: the instance starts at 4.31 cells. In the clipped box it would be 4/37*28 = 3.03.
    assert not outputs['mask_targets'][1, 3].any()
    assert outputs['mask_targets'][1, 4].any()


def test_levels_follow_the_images_without_padding():
    head = make_roi_head()
    calls = record_calls(head.mask_roi_extractor)
    samples = [make_sample(GT[:1], size=(64, 96)), make_sample(GT[:1], size=(40, 48))]
    head.loss(make_features(2), [make_proposals([]), make_proposals([])], samples)
    assert calls[0][1]['img_shapes'] == [(64, 96), (40, 48)]
    # 36 x 32 px: 0.19 of the first image, 0.6 of the second one
    pooled = head.mask_roi_extractor(*calls[0][0], **calls[0][1])
    feats, rois = calls[0][0]
    assert torch.equal(pooled[:1], head.mask_roi_extractor.roi_layers[0](feats[0], rois[:1]))
    assert torch.equal(pooled[1:], head.mask_roi_extractor.roi_layers[2](feats[2], rois[1:]))


def test_mask_iou_head_sees_the_pooled_features_and_the_logits_of_the_class():
    """Not the output of the mask head's convolutions."""
    head = make_roi_head()
    calls = record_calls(head.mask_iou_head)
    samples = [make_sample(GT, labels=[2, 1])]
    outputs = head.mask_loss(make_features(1), head.sample_rois([make_proposals([])], samples), samples)
    (feats, logits), _ = calls[0]
    assert feats is outputs['mask_feats']
    assert torch.equal(feats, head.mask_roi_extractor(make_features(1)[:3], outputs['pos_rois'], img_shapes=[(64, 96)]))
    assert torch.equal(logits, outputs['mask_preds'][[0, 1], [2, 1]])
    assert outputs['pos_labels'].tolist() == [2, 1]


def test_mask_iou_loss_teaches_the_mask_head_and_the_features_too():
    head, feats = make_roi_head(), make_features(1, requires_grad=True)
    head.loss(feats, [make_proposals(NEAR_GT)], [make_sample(GT)])['loss_mask_iou'].backward()
    assert head.mask_head.convs[0].conv.weight.grad.abs().sum() > 0
    assert head.mask_head.spatial_attention.conv.weight.grad.abs().sum() > 0
    assert sum(feat.grad.abs().sum() for feat in feats[:3]) > 0


def test_batch_without_positive_rois_gives_zero_losses_with_a_graph():
    head, feats = make_roi_head(), make_features(2, requires_grad=True)
    samples = [make_sample([]), make_sample([])]
    losses = head.loss(feats, [make_proposals(NEAR_GT), make_proposals([])], samples)
    assert [losses[name].item() for name in ('loss_mask', 'loss_mask_iou')] == [0, 0]
    sum(losses.values()).backward()
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in head.parameters())
    assert all(feat.grad is not None for feat in feats[:3])


@pytest.mark.parametrize('empty', [PolygonMasks([], 64, 96), BitmapMasks([], 64, 96)], ids=['polygons', 'bitmaps'])
def test_image_without_objects_adds_nothing(empty):
    head, feats = make_roi_head(), make_features(2)
    samples = [make_sample([], masks=empty), make_sample(GT)]
    if isinstance(empty, BitmapMasks):
        samples[1].gt_instances.masks = to_bitmaps(samples[1].gt_instances.masks)
    both = head.loss(feats, [make_proposals(NEAR_GT), make_proposals(NEAR_GT)], samples)
    alone = head.loss([feat[1:] for feat in feats], [make_proposals(NEAR_GT)], samples[1:])
    for name in alone:
        assert both[name].item() == pytest.approx(alone[name].item(), rel=1e-5)
        assert alone[name].item() > 0


def test_image_without_proposals_learns_from_its_ground_truth():
    losses = make_roi_head().loss(make_features(1), [make_proposals([])], [make_sample(GT)])
    assert losses['loss_mask'].item() > 0


def test_crowds_are_no_instances():
    head = make_roi_head()
    sample = make_sample(GT[:1])
    sample.ignored_instances = InstanceData(
        bboxes=torch.tensor(GT[1:]), labels=torch.tensor([1]), masks=PolygonMasks([[rectangle(*GT[1])]], 64, 96)
    )
    (result,) = head.sample_rois([make_proposals(NEAR_GT)], [sample])
    assert result.pos_priors.tolist() == [GT[0], NEAR_GT[0]]


def test_crowded_images_are_sampled():
    train_cfg = make_roi_head().train_cfg
    train_cfg.sampler.num = 8
    boxes = [[4.0 * i, 4.0 * i, 4.0 * i + 20, 4.0 * i + 20] for i in range(10)]
    (result,) = make_roi_head(train_cfg=train_cfg).sample_rois([make_proposals(boxes)], [make_sample(boxes)])
    assert len(result.pos_priors) == 2


def test_bitmaps_are_learnt_as_polygons_are():
    head, feats = make_roi_head(), make_features(1)
    polygons, bitmaps = make_sample(GT), make_sample(GT)
    bitmaps.gt_instances.masks = to_bitmaps(polygons.gt_instances.masks)
    proposals = [make_proposals(NEAR_GT)]
    ours, theirs = head.loss(feats, proposals, [bitmaps]), head.loss(feats, proposals, [polygons])
    for name in ours:
        assert ours[name].item() == pytest.approx(theirs[name].item(), rel=2e-2)


def test_masks_must_be_loaded():
    sample = make_sample(GT)
    del sample.gt_instances.masks
    with pytest.raises(KeyError, match='gt_instances.masks: not given.*with_mask=True'):
        make_roi_head().loss(make_features(1), [make_proposals([])], [sample])


# ----------------------------------------------------------------------------------------------------- inference


def test_pastes_the_golden_masks_and_drops_boxes_outside_of_the_image():
    arrays = unit_arrays('paste')
    (in_h, in_w), (out_h, out_w) = arrays['in_hw'].tolist(), arrays['out_hw'].tolist()
    head = set_predictions(make_roi_head(mask_iou_head=None), np.log(arrays['probs'] / (1 - arrays['probs'])))
    sample = make_sample([], size=(in_h, in_w))
    sample.set_metainfo(dict(ori_shape=(out_h, out_w), scale_factor=(in_w / out_w, in_h / out_h)))
    proposals = make_proposals(arrays['boxes'].tolist(), scores=[0.9, 0.8, 0.7, 0.6])
    (results,) = head.predict(make_features(1, 128, 160), [proposals], [sample], rescale=True)
    assert np.abs(results.bboxes.numpy() - arrays['out_boxes']).max() < 1e-4
    assert results.scores.tolist() == arrays['out_scores'].tolist()
    assert (results.masks.numpy() != arrays['out_masks'].astype(bool)).sum((1, 2)).max() <= 10
    assert results.masks.dtype == torch.bool
    assert 'mask_scores' not in results


def test_rois_are_pooled_as_they_are_and_results_clipped():
    head = make_roi_head()
    calls = record_calls(head.mask_roi_extractor)
    (results,) = head.predict(make_features(1), [make_proposals(NEAR_GT)], [make_sample([])])
    assert calls[0][0][1][:, 1:].tolist() == NEAR_GT
    assert calls[0][1]['img_shapes'] == [(64, 96)]
    assert results.bboxes.tolist() == [[0.0, 0.0, 41.0, 37.0], [48.0, 12.0, 92.0, 60.0]]


def test_mask_scores_rank_masks_and_scores_rank_boxes():
    """Scores are sqrt(p * c) already; the predicted IoU of the second mask is so much better that it comes first."""
    head = set_predictions(make_roi_head(), torch.ones(2, 28, 28), mask_ious=[0.3, 0.9])
    (results,) = head.predict(make_features(1), [make_proposals(GT, scores=[0.8, 0.4])], [make_sample([])])
    assert results.scores.tolist() == pytest.approx([0.8, 0.4])
    assert results.mask_scores.tolist() == pytest.approx([0.24, 0.36])


@pytest.mark.parametrize('paste_with,first_column', [('clipped', 5), ('unclipped', 0)])
def test_masks_of_boxes_that_leave_the_image(paste_with, first_column):
    """The right half of the box, which is what lies in the image, is foreground. Clipped boxes squeeze it."""
    logits = torch.full((1, 28, 28), -9.0)
    logits[:, :, 14:] = 9.0
    head = set_predictions(make_roi_head(paste_with=paste_with), logits, mask_ious=[1.0])
    (results,) = head.predict(make_features(1), [make_proposals([[-10.0, 0, 10, 20]])], [make_sample([])])
    assert results.bboxes.tolist() == [[0, 0, 10, 20]]
    columns = results.masks[0].any(dim=0).nonzero().flatten()
    assert (columns.min().item(), columns.max().item()) == (first_column, 9)


def test_results_are_of_the_original_or_of_the_resized_image():
    """31x47 px, resized to 62x93 in a batch of 64x96: mmdet without rescaling takes round(31 * 2.0) anyhow."""
    head = make_roi_head()
    sample = make_sample([], size=(62, 93))
    sample.set_metainfo(dict(ori_shape=(31, 47), scale_factor=(93 / 47, 2.0)))
    (small,) = head.predict(make_features(1), [make_proposals(GT)], [sample], rescale=True)
    assert small.masks.shape == (2, 31, 47)
    assert small.bboxes[0].tolist() == pytest.approx([4 * 47 / 93, 2, 40 * 47 / 93, 18], rel=1e-6)
    (large,) = head.predict(make_features(1), [make_proposals(GT)], [sample], rescale=False)
    assert large.masks.shape == (2, 62, 93)
    assert large.bboxes.tolist() == GT


def test_nothing_detected_gives_well_formed_results():
    head = make_roi_head()
    samples = [make_sample([], size=(62, 93)), make_sample([])]
    for number in (0, 2):
        proposals = [make_proposals([]), make_proposals(GT[:number])]
        empty, other = head.predict(make_features(2), proposals, samples)
        assert empty.masks.shape == (0, 62, 93)
        assert empty.masks.dtype == torch.bool
        assert [len(empty[key]) for key in ('bboxes', 'scores', 'labels', 'mask_scores')] == [0] * 4
        assert empty.bboxes.shape == (0, 4)
        assert len(other.masks) == len(other.mask_scores) == number


def test_all_boxes_outside_of_the_image_give_empty_results():
    proposals = [make_proposals([[-30.0, 0, -2, 20], [0, 70.0, 20, 90]])]
    (results,) = make_roi_head().predict(make_features(1), proposals, [make_sample([])])
    assert results.masks.shape == (0, 64, 96)
    assert results.mask_scores.shape == (0,)


def test_images_of_a_batch_do_not_mix():
    head, feats = make_roi_head(), make_features(2)
    samples = [make_sample([], size=(40, 48)), make_sample([])]
    proposals = [[[0.0, 0, 40, 40]], GT]
    together = head.predict(feats, [make_proposals(boxes) for boxes in proposals], samples)
    for i in range(2):
        (alone,) = head.predict([feat[i : i + 1] for feat in feats], [make_proposals(proposals[i])], samples[i : i + 1])
        assert torch.allclose(together[i].mask_scores, alone.mask_scores, atol=1e-6)
        assert torch.equal(together[i].masks, alone.masks)


def test_forward_gives_raw_outputs():
    head = make_roi_head()
    masks, ious = head(make_features(2), [make_proposals(GT), make_proposals([])], [make_sample([])] * 2)
    assert masks.shape == (2, NUM_CLASSES, 28, 28)
    assert ious.shape == (2, NUM_CLASSES)
    (masks_only,) = make_roi_head(mask_iou_head=None)(make_features(2), [make_proposals(GT), make_proposals([])])
    assert masks_only.shape == masks.shape


# --------------------------------------------------------------------------------------------------- combinations


def test_trains_and_predicts_under_autocast():
    head, feats = make_roi_head(), make_features(1, requires_grad=True)
    with torch.autocast('cpu', torch.bfloat16):
        half = [feat.bfloat16() for feat in feats]
        losses = head.loss(half, [make_proposals(NEAR_GT)], [make_sample(GT)])
        (results,) = head.predict(half, [make_proposals(NEAR_GT)], [make_sample([])])
    exact = head.loss(feats, [make_proposals(NEAR_GT)], [make_sample(GT)])
    for name, loss in losses.items():
        assert loss.dtype == torch.float32
        assert loss.item() == pytest.approx(exact[name].item(), rel=0.05)
    sum(losses.values()).backward()
    assert feats[0].grad.isfinite().all()
    assert results.mask_scores.dtype == torch.float32


def test_takes_the_parts_of_mmdet():
    """An ablation: FPN's level rule, no attention, no mask scoring, one mask for all classes."""
    extractor = ConfigDict(
        type='SingleRoIExtractor',
        roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0),
        out_channels=CHANNELS,
        featmap_strides=[8, 16, 32],
        finest_scale=112,
    )
    mask_head = ConfigDict(
        type='FCNMaskHead', num_convs=1, in_channels=CHANNELS, num_classes=NUM_CLASSES, class_agnostic=True
    )
    head = make_roi_head(mask_roi_extractor=extractor, mask_head=mask_head, mask_iou_head=None)
    assert set(head.loss(make_features(1), [make_proposals(NEAR_GT)], [make_sample(GT)])) == {'loss_mask'}
    (results,) = head.predict(make_features(1), [make_proposals(GT, labels=[2, 1])], [make_sample([])])
    assert results.masks.shape == (2, 64, 96)


def test_unknown_pasting_is_refused():
    with pytest.raises(ValueError, match="roi_head.paste_with: got 'squeezed'"):
        make_roi_head(paste_with='squeezed')


@pytest.mark.parametrize(
    'model,channels,convs', [('centermask2-V-39-eSE', 256, 4), ('centermask2-lite-V-19-eSE', 128, 2)]
)
def test_parameters_are_those_of_the_original(model, channels, convs):
    sizes = dict(num_convs=convs, in_channels=channels, conv_out_channels=channels)
    mask_head = MODELS.build(dict(type='SpatialAttentionMaskHead', **sizes))
    iou_head = MODELS.build(dict(type='CenterMaskIoUHead', **sizes))
    names = {f'mask_head.mask_fcn{k}': f'mask_head.convs.{k - 1}.conv' for k in range(1, convs + 1)}
    names.update({f'maskiou_head.maskiou_fcn{k}': f'mask_iou_head.convs.{k - 1}' for k in range(1, convs + 1)})
    names.update(
        {
            'mask_head.spatialAtt.conv': 'mask_head.spatial_attention.conv',
            'mask_head.deconv': 'mask_head.upsample',
            'mask_head.predictor': 'mask_head.conv_logits',
            'maskiou_head.maskiou_fc1': 'mask_iou_head.fcs.0',
            'maskiou_head.maskiou_fc2': 'mask_iou_head.fcs.1',
            'maskiou_head.maskiou': 'mask_iou_head.fc_mask_iou',
        }
    )
    expected = {}
    for key, shape in golden_keys(model, 'roi_heads.').items():
        module, kind = key.removeprefix('roi_heads.').rsplit('.', 1)
        expected[f'{names[module]}.{kind}'] = list(shape)
    ours = torch.nn.ModuleDict({'mask_head': mask_head, 'mask_iou_head': iou_head}).state_dict()
    assert {key: list(value.shape) for key, value in ours.items()} == expected
