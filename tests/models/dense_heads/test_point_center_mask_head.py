"""PointCenterMaskHead: sizes of its branches, losses against loops over objects, what it makes of ideal maps."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.models.losses import L1Loss
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData

from mmkd.models.dense_heads.point_center_mask_head import PointMaskMaps
from mmkd.models.dense_heads.point_mask_decoding import decode_centers
from mmkd.registry import MODELS

HEIGHT, WIDTH = 16, 24  # cells
CLASSES = 3
# Multiples of the stride, so that boxes are whole cells; the second image has no object.
OBJECTS = [[(8, 12, 40, 36, 0), (44, 8, 92, 60, 2), (4, 44, 12, 56, 0)], [], [(0, 0, 96, 64, 1), (20, 20, 28, 24, 1)]]


def head(**options):
    torch.manual_seed(0)
    options = dict(num_classes=CLASSES, in_channels=8, feat_channels=8, shape_size=6) | options
    module = MODELS.build(dict(type='mmkd.PointCenterMaskHead', **options))
    module.init_weights()
    return module


def samples(objects=OBJECTS):
    """Ellipses in the boxes."""
    batch = []
    y, x = np.mgrid[: HEIGHT * 4, : WIDTH * 4] + 0.5
    for boxes in objects:
        masks = [
            ((x - (x1 + x2) / 2) / (x2 - x1)) ** 2 + ((y - (y1 + y2) / 2) / (y2 - y1)) ** 2 < 0.25
            for x1, y1, x2, y2, _ in boxes
        ]
        masks = np.array(masks, np.uint8).reshape(-1, HEIGHT * 4, WIDTH * 4)
        sample = DetDataSample(metainfo=dict(img_shape=(HEIGHT * 4, WIDTH * 4), ori_shape=(HEIGHT * 4, WIDTH * 4)))
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor([box[:4] for box in boxes], dtype=torch.float32).reshape(-1, 4),
            labels=torch.tensor([box[4] for box in boxes], dtype=torch.long),
            masks=BitmapMasks(masks, HEIGHT * 4, WIDTH * 4),
        )
        sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
        batch.append(sample)
    return batch


def features(stacks=1, number=3):
    torch.manual_seed(1)
    return [torch.randn(number, 8, HEIGHT, WIDTH, requires_grad=True) for _ in range(stacks)]


@pytest.mark.parametrize(
    ('branch', 'parameters'),
    [('saliency', 168_272), ('shape', 410_880), ('size', 148_226), ('heatmap', 168_272), ('offset', 148_226)],
)
def test_branches_have_the_parameters_of_the_original(branch, parameters):
    module = MODELS.build(dict(type='mmkd.PointCenterMaskHead', num_classes=80, in_channels=64))
    assert sum(p.numel() for p in getattr(module, f'{branch}_head').parameters()) == parameters


def test_offset_loss_is_the_published_number():
    generator = torch.Generator().manual_seed(0)
    for make in (torch.randn, torch.rand):  # those of the focal loss come first
        make(2, 3, 8, 8, generator=generator)
    feature = torch.randn(2, 2, 8, 8, generator=generator)
    target = torch.randn(2, 3, 2, generator=generator)
    image, number, cell = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 0]), torch.tensor([3, 9, 63])
    found = feature[image, :, cell // 8, cell % 8]
    loss = L1Loss()(found, target[image, number], avg_factor=2 * len(cell) + 1e-4)
    assert loss.item() == pytest.approx(0.9776010513305664, abs=1e-5)


@pytest.mark.parametrize('saliency', ['class_agnostic', 'class_specific'])
def test_losses_are_those_of_a_loop_over_the_objects(saliency):
    module, x = head(saliency=saliency), features()
    losses = module.loss(x, samples())
    maps = module(x)
    offset = size = mask = 0
    number = 5
    for i, boxes in enumerate(OBJECTS):
        bitmaps = samples()[i].gt_instances.masks.to_ndarray()
        for (x1, y1, x2, y2, label), bitmap in zip(boxes, bitmaps, strict=True):
            center = torch.tensor([(x1 + x2) / 8, (y1 + y2) / 8])
            column, row = center.long().tolist()
            offset += (maps.offset[i, :, row, column] - (center - center.floor())).abs().sum()
            size += (maps.size[i, :, row, column] - torch.tensor([(x2 - x1) / 4, (y2 - y1) / 4])).abs().sum()
            region = (slice(y1 // 4, y2 // 4), slice(x1 // 4, x2 // 4))
            local = maps.shape[i, :, row, column].view(1, 1, 6, 6)
            local = F.interpolate(local, ((y2 - y1) // 4, (x2 - x1) // 4), mode='bilinear', align_corners=False)[0, 0]
            channel = label if saliency == 'class_specific' else 0
            probability = local.sigmoid() * maps.saliency[i, channel][region].sigmoid()
            target = F.avg_pool2d(torch.from_numpy(bitmap)[None, None].float(), 4)[0, 0][region]
            mask += F.binary_cross_entropy(probability, target) / number
    expected = dict(
        loss_offset=offset / (2 * number + 1e-4), loss_size=0.1 * size / (2 * number + 1e-4), loss_mask=mask
    )
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value, msg=name)
    ours = torch.autograd.grad(losses['loss_mask'], [*x, *module.parameters()], allow_unused=True, retain_graph=True)
    naive = torch.autograd.grad(mask, [*x, *module.parameters()], allow_unused=True)
    for first, second in zip(ours, naive, strict=True):
        assert (first is None) == (second is None)
        if first is not None:
            torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize('listened_to', [None, 'shape_head', 'shape_head.2', 'auxiliary_heads.0.shape'])
@pytest.mark.parametrize('mask_boxes', ['gt', 'predicted'])
def test_losses_are_those_of_the_maps_of_all_branches(mask_boxes, listened_to):
    """The shapes are made where there are objects only, but a hook, as of a distillation, sees the whole map."""
    module, x = head(num_stacks=2, mask_boxes=mask_boxes, max_masks_per_img=None), features(2)
    heard = []
    if listened_to:
        module.get_submodule(listened_to).register_forward_hook(lambda *args: heard.append(args[-1].shape))
    losses = module.loss(x, samples())
    assert heard == ([(3, 36, HEIGHT, WIDTH)] if listened_to else [])
    expected = module.loss_by_feat(module.forward_all(x), [sample.gt_instances for sample in samples()])
    sources = [*x, *module.parameters()]
    gradients = [torch.autograd.grad(sum(found.values()), sources) for found in (losses, expected)]
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value, rtol=1e-5, atol=1e-7, msg=name)
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_every_parameter_gets_a_gradient_even_without_any_object():
    for objects in (OBJECTS, [[], [], []]):
        module = head(num_stacks=2, loss_saliency=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True))
        losses = module.loss(features(2), samples(objects))
        assert all(torch.isfinite(value) for value in losses.values())
        sum(losses.values()).backward()
        assert [key for key, parameter in module.named_parameters() if parameter.grad is None] == []
    assert losses['loss_mask'] == losses['loss_size'] == losses['loss_offset'] == 0


def test_losses_of_two_stacks_are_the_mean_and_the_last_predicts():
    module, x = head(num_stacks=2), features(2)
    both = module.loss(x, samples())
    singles = []
    for heads, feature in ((module.auxiliary_heads[0], x[0]), (None, x[1])):
        single = head()
        for name in ('heatmap', 'offset', 'size', 'shape', 'saliency'):
            source = heads[name] if heads else getattr(module, f'{name}_head')
            getattr(single, f'{name}_head').load_state_dict(source.state_dict())
        singles.append(single.loss([feature], samples()))
    for name in both:
        torch.testing.assert_close(both[name], (singles[0][name] + singles[1][name]) / 2)
    torch.testing.assert_close(module(x).heatmap, single([x[1]]).heatmap)
    with pytest.raises(ValueError, match='got 1 maps, but num_stacks is 2'):
        module.loss(x[:1], samples())


def test_saliency_of_its_own_is_compared_with_the_union_of_the_masks():
    option = dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True, loss_weight=2.0)
    for saliency in ('class_agnostic', 'class_specific'):
        module, x = head(saliency=saliency, loss_saliency=option), features()
        logits = module(x).saliency
        target = torch.zeros_like(logits)
        for i, sample in enumerate(samples()):
            bitmaps = torch.from_numpy(sample.gt_instances.masks.to_ndarray()).float()
            for bitmap, label in zip(bitmaps, sample.gt_instances.labels.tolist(), strict=True):
                mask = F.avg_pool2d(bitmap[None], 4)[0]
                channel = label if saliency == 'class_specific' else 0
                target[i, channel] = torch.maximum(target[i, channel], mask)
        expected = 2 * F.binary_cross_entropy_with_logits(logits, target)
        torch.testing.assert_close(module.loss(x, samples())['loss_saliency'], expected)


def test_predicted_boxes_may_take_the_place_of_the_true_ones():
    x = features()
    module = head(mask_boxes='predicted')
    assert module.loss(x, samples())['loss_mask'] != head().loss(x, samples())['loss_mask']
    loss = module.loss(x, samples())['loss_mask']
    grads = torch.autograd.grad(loss, [module.size_head[-1].weight, module.shape_head[-1].weight], allow_unused=True)
    assert grads[0] is None and grads[1].abs().sum() > 0


def test_number_of_masks_of_an_image_is_bounded():
    x = features()
    full = head().loss(x, samples())
    one = head(max_masks_per_img=1).loss(x, samples())
    torch.testing.assert_close(one['loss_heatmap'], full['loss_heatmap'])
    assert one['loss_mask'] != full['loss_mask']
    single = [[OBJECTS[2][1]]]
    only = head(max_masks_per_img=1).loss([x[0][2:]], samples(single))
    torch.testing.assert_close(only['loss_mask'], head().loss([x[0][2:]], samples(single))['loss_mask'])


def test_losses_under_autocast_are_those_of_single_precision():
    module, x = head(), features()
    with torch.autocast('cpu', torch.bfloat16):
        stacks = module.forward_all([feature.to(torch.bfloat16) for feature in x])
        assert stacks[0].shape.dtype == torch.bfloat16
        losses = module.loss_by_feat(stacks, [sample.gt_instances for sample in samples()])
    exact = [PointMaskMaps(*(value.float() for value in stacks[0]))]
    for name, value in module.loss_by_feat(exact, [sample.gt_instances for sample in samples()]).items():
        assert losses[name].dtype == torch.float32
        torch.testing.assert_close(losses[name], value, rtol=0, atol=0)


@pytest.mark.parametrize(
    'options', [dict(saliency='both'), dict(gaussian_radius='centernet'), dict(mask_boxes='anchors')]
)
def test_unknown_options_are_named(options):
    ((key, value),) = options.items()
    with pytest.raises(ValueError, match=f"{key} is '{value}', expected one of"):
        head(**options)


# ----------------------------------------------------------------------------------------------------------- prediction


def ideal_maps(batch, size=16, class_specific=True):
    """What a perfect network would give for the batch."""
    channels = CLASSES if class_specific else 1
    maps = PointMaskMaps(
        torch.full((len(batch), CLASSES, HEIGHT, WIDTH), -9.0),
        *(torch.zeros(len(batch), c, HEIGHT, WIDTH) for c in (2, 2)),
        torch.full((len(batch), size**2, HEIGHT, WIDTH), -8.0),
        torch.full((len(batch), channels, HEIGHT, WIDTH), -8.0),
    )
    for i, sample in enumerate(batch):
        instances = sample.gt_instances
        bitmaps = torch.from_numpy(instances.masks.to_ndarray()).float()
        for k, ((x1, y1, x2, y2), label) in enumerate(
            zip(instances.bboxes.tolist(), instances.labels.tolist(), strict=True)
        ):
            center = torch.tensor([(x1 + x2) / 8, (y1 + y2) / 8])
            column, row = center.long().tolist()
            maps.heatmap[i, label, row, column] = 4.0 - k
            maps.offset[i, :, row, column] = center - center.floor()
            maps.size[i, :, row, column] = torch.tensor([(x2 - x1) / 4, (y2 - y1) / 4])
            cut = bitmaps[k, int(y1) : int(y2), int(x1) : int(x2)]
            shape = F.interpolate(cut[None, None], (size, size), mode='bilinear', align_corners=False, antialias=True)
            maps.shape[i, :, row, column] = (16 * shape - 8).flatten()
            channel = label if class_specific else 0
            covered = 16 * F.avg_pool2d(bitmaps[k][None], 4)[0] - 8
            maps.saliency[i, channel] = torch.maximum(maps.saliency[i, channel], covered)
    return maps


def iou(first, second):
    return ((first & second).sum() / (first | second).sum()).item()


@pytest.mark.parametrize('class_specific', [True, False])
def test_ideal_maps_give_the_objects_back(class_specific):
    batch = samples()
    module = head(shape_size=16, saliency='class_specific' if class_specific else 'class_agnostic')
    results = module.predict_by_feat(
        *ideal_maps(batch, class_specific=class_specific),
        batch_img_metas=[sample.metainfo for sample in batch],
        rescale=True,
        cfg=dict(score_thr=0.5),
    )
    assert [len(result) for result in results] == [3, 0, 2]
    for sample, result in zip(batch, results, strict=True):
        truth = sample.gt_instances
        torch.testing.assert_close(result.bboxes, truth.bboxes)
        assert torch.equal(result.labels, truth.labels)
        assert result.masks.dtype == torch.bool and result.masks.shape[1:] == (HEIGHT * 4, WIDTH * 4)
        for found, mask in zip(result.masks, torch.from_numpy(truth.masks.to_ndarray()).bool(), strict=True):
            assert iou(found, mask) > (0.75 if mask.sum() < 100 else 0.9)
    torch.testing.assert_close(results[0].scores, torch.tensor([4.0, 3.0, 2.0]).sigmoid())


def test_results_are_of_the_original_image():
    """The network saw the image at half of its width and a third of its height."""
    batch = samples()[:1]
    module = head(shape_size=16)
    ori_shape = (HEIGHT * 4 * 3, WIDTH * 4 * 2)
    meta = dict(img_shape=(HEIGHT * 4, WIDTH * 4), ori_shape=ori_shape, scale_factor=(1 / 2, 1 / 3))
    (result,) = module.predict_by_feat(
        *ideal_maps(batch), batch_img_metas=[meta], rescale=True, cfg=dict(score_thr=0.5)
    )
    factors = torch.tensor([2.0, 3.0, 2.0, 3.0])
    torch.testing.assert_close(result.bboxes, batch[0].gt_instances.bboxes * factors)
    masks = torch.from_numpy(batch[0].gt_instances.masks.to_ndarray()).bool()
    masks = masks.repeat_interleave(3, 1).repeat_interleave(2, 2)
    assert result.masks.shape == masks.shape
    assert iou(result.masks[0], masks[0]) > 0.9 and iou(result.masks[1], masks[1]) > 0.9


def test_padding_around_the_image_is_taken_off():
    batch = samples()[:1]
    module = head(shape_size=16)
    meta = dict(img_shape=(HEIGHT * 4, WIDTH * 4), ori_shape=(40, 80), border=np.array([10, 50, 6, 86], np.float32))
    (result,) = module.predict_by_feat(
        *ideal_maps(batch), batch_img_metas=[meta], rescale=True, cfg=dict(score_thr=0.5)
    )
    torch.testing.assert_close(result.bboxes[0], torch.tensor([2.0, 2.0, 34.0, 26.0]))
    truth = torch.from_numpy(batch[0].gt_instances.masks.to_ndarray()).bool()[:, 10:50, 6:86]
    assert result.masks.shape == (3, 40, 80) and iou(result.masks[0], truth[0]) > 0.9
    assert (result.bboxes[:, 2:] <= torch.tensor([80.0, 40.0])).all() and (result.bboxes >= 0).all()


def test_masks_follow_the_threshold_and_stay_in_their_boxes():
    batch = samples()[:1]
    module, maps = head(shape_size=16), ideal_maps(samples()[:1])
    maps = maps._replace(shape=torch.zeros_like(maps.shape), saliency=torch.full_like(maps.saliency, 3.0))
    metas = [sample.metainfo for sample in batch]
    # sigmoid(0) sigmoid(3) = 0.476 everywhere
    for threshold, full in ((0.4, True), (0.47, True), (0.48, False)):
        cfg = dict(score_thr=0.5, mask_thr=threshold)
        (result,) = module.predict_by_feat(*maps, batch_img_metas=metas, rescale=True, cfg=cfg)
        for (x1, y1, x2, y2), mask in zip(result.bboxes.long().tolist(), result.masks, strict=True):
            assert mask.sum() == ((x2 - x1) * (y2 - y1) if full else 0)
            assert mask[y1:y2, x1:x2].all() == full
    # a probability of just the threshold is inside: 1/4
    quarter = maps._replace(saliency=torch.zeros_like(maps.saliency))
    (result,) = module.predict_by_feat(*quarter, batch_img_metas=metas, rescale=True, cfg=dict(cfg, mask_thr=0.25))
    assert result.masks.any()
    # 0.4 unless said otherwise
    (default,) = module.predict_by_feat(*maps, batch_img_metas=metas, rescale=True, cfg=dict(score_thr=0.5))
    assert default.masks.any()


def test_only_peaks_are_objects_and_no_more_than_asked_for():
    heatmap = torch.zeros(1, 2, 5, 6)
    heatmap[0, 0, 2, 2], heatmap[0, 0, 2, 3], heatmap[0, 1, 2, 3], heatmap[0, 0, 4, 5] = 0.9, 0.8, 0.7, 0.6
    zeros, ones = torch.zeros(1, 2, 5, 6), torch.ones(1, 2, 5, 6)
    centers = decode_centers(heatmap, zeros, ones, 3).of_images(0.0)[0]
    torch.testing.assert_close(centers.score, torch.tensor([0.9, 0.7, 0.6]))  # 0.8 is beside a larger one of its class
    assert centers.label.tolist() == [0, 1, 0]
    assert centers.row.tolist() == [2, 2, 4] and centers.column.tolist() == [2, 3, 5]
    assert decode_centers(heatmap, zeros, ones, 2).score.shape == (1, 2)
    assert len(decode_centers(heatmap, zeros, ones, 100).of_images(0.65)[0].score) == 2
    # more than there are cells
    assert decode_centers(heatmap, zeros, ones, 100).score.shape == (1, 60)


def test_boxes_are_large_enough_to_be_drawn():
    maps = ideal_maps(samples()[:1])
    maps.size.fill_(-3.0)
    metas = [samples()[0].metainfo]
    (result,) = head(shape_size=16).predict_by_feat(*maps, batch_img_metas=metas, rescale=True)
    sides = result.bboxes[:, 2:] - result.bboxes[:, :2]
    assert len(result) and (sides > 0).all() and sides.max() <= 1


def test_pasting_in_groups_changes_nothing(monkeypatch):
    batch = samples()
    module, maps = head(shape_size=16), ideal_maps(batch)
    metas = [sample.metainfo for sample in batch]
    whole = module.predict_by_feat(*maps, batch_img_metas=metas, rescale=True)
    monkeypatch.setattr('mmkd.models.dense_heads.point_mask_decoding._MAX_PIXELS', 700)
    parts = module.predict_by_feat(*maps, batch_img_metas=metas, rescale=True)
    assert all(torch.equal(a.masks, b.masks) for a, b in zip(whole, parts, strict=True))
