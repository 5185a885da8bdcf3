"""The detector PointCenterMask: it trains, predicts, and sees flipped images as it should."""

import pytest
import torch
from mmdet.testing import demo_mm_inputs
from mmengine.registry import DefaultScope

from mmkd.models.dense_heads.point_center_mask_head import PointMaskMaps
from mmkd.models.detectors.point_center_mask import average_with_flipped
from mmkd.registry import MODELS


def detector(test_cfg=None, hourglass=False, **head):
    torch.manual_seed(0)
    backbone = dict(type='mmkd.DLA', depth='46_c', out_indices=(2, 3, 4))
    neck = dict(type='mmkd.DLANeck', in_channels=(64, 64, 128))
    if hourglass:
        channels, blocks = (8, 8, 16), (1, 1, 1)
        backbone = dict(
            type='HourglassNet', downsample_times=2, num_stacks=2, stage_channels=channels, stage_blocks=blocks,
            feat_channel=64,
        )  # fmt: skip
        neck = None
        head['num_stacks'] = 2
    cfg = dict(
        type='mmkd.PointCenterMask',
        data_preprocessor=dict(type='DetDataPreprocessor', pad_size_divisor=32, pad_mask=True),
        backbone=backbone,
        neck=neck,
        bbox_head=dict(
            type='mmkd.PointCenterMaskHead', num_classes=3, in_channels=64, feat_channels=8, shape_size=8, **head
        ),
        test_cfg=test_cfg or dict(max_per_img=10),
    )
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg)
        model.init_weights()
    return model


def inputs(model, sizes=([3, 96, 128], [3, 64, 64]), items=(3, 0)):
    with DefaultScope.overwrite_default_scope('mmdet'):
        data = demo_mm_inputs(len(sizes), list(map(list, sizes)), num_items=list(items), num_classes=3, with_mask=True)
        return model.data_preprocessor(data, training=False)


@pytest.mark.parametrize('hourglass', [False, True])
def test_it_trains_and_predicts(hourglass):
    model = detector(hourglass=hourglass)
    losses = model.train()(**inputs(model), mode='loss')
    assert set(losses) == {'loss_heatmap', 'loss_offset', 'loss_size', 'loss_mask'}
    total, _ = model.parse_losses(losses)
    total.backward()
    assert torch.isfinite(total)
    assert [key for key, parameter in model.named_parameters() if parameter.grad is None] == []

    with torch.no_grad():
        results = model.eval()(**inputs(model), mode='predict')
    for sample in results:
        found = sample.pred_instances
        assert 0 < len(found) <= 10
        assert found.masks.shape[1:] == tuple(sample.ori_shape)
        assert (found.scores.diff() <= 0).all()
        height, width = sample.ori_shape
        assert (found.bboxes >= 0).all() and (found.bboxes[:, 2:] <= torch.tensor([width, height])).all()


def test_nothing_is_found_in_the_padding():
    head = detector(dict(max_per_img=10, score_thr=0.0)).bbox_head
    maps = PointMaskMaps(*(torch.zeros(2, c, 24, 32) for c in (3, 2, 2, 64, 3)))
    maps.heatmap[1, :, :, 16:] = 9.0  # the second image is 64 of 96 pixels high and 64 of 128 wide
    maps.heatmap[1, :, 16:] = 9.0
    metas = [dict(img_shape=size, ori_shape=size) for size in ((96, 128), (64, 64))]
    found = head.predict_by_feat(*maps, batch_img_metas=metas, rescale=True)[1]
    assert len(found) == 10 and found.scores.max() < 0.9


def flip_maps(maps, size):
    shape = maps.shape.unflatten(1, (size, size)).flip(2).flatten(1, 2)
    return PointMaskMaps(*(x.flip(-1) for x in maps._replace(shape=shape)))


def test_averaging_with_the_mirror_image_of_themselves_leaves_maps_as_they_are():
    torch.manual_seed(0)
    maps = PointMaskMaps(*(5 * torch.randn(2, c, 6, 8) for c in (3, 2, 2, 16, 1)))
    averaged = average_with_flipped(maps, flip_maps(maps, 4), 4)
    for ours, expected in zip(averaged, maps, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


def test_shapes_are_turned_round_in_themselves_as_well():
    zeros = {c: torch.zeros(1, c, 1, 2) for c in (1, 2)}
    shape = torch.zeros(1, 4, 1, 2)
    shape[0, :, 0, 1] = torch.tensor([1.0, 2.0, 3.0, 4.0])  # rows 1 2 and 3 4, at the right one of two cells
    flipped = PointMaskMaps(zeros[1], zeros[2], zeros[2], shape, zeros[1])
    averaged = average_with_flipped(flipped._replace(shape=torch.zeros_like(shape)), flipped, 2)
    assert averaged.shape[0, :, 0, 0].tolist() == [1.0, 0.5, 2.0, 1.5]
    assert averaged.shape[0, :, 0, 1].abs().sum() == 0


def test_flip_test_averages_heatmaps_as_probabilities():
    maps = PointMaskMaps(*(torch.full((1, c, 1, 1), 2.0) for c in (1, 2, 2, 4, 1)))
    other = PointMaskMaps(*(torch.full((1, c, 1, 1), -100.0) for c in (1, 2, 2, 4, 1)))
    averaged = average_with_flipped(maps, other, 2)
    assert averaged.heatmap.sigmoid().item() == pytest.approx(torch.tensor(2.0).sigmoid().item() / 2, rel=1e-6)
    assert averaged.offset.unique().item() == 2.0 and averaged.size.unique().item() == -49.0


def test_with_flip_test_a_flipped_image_gives_the_flipped_instances():
    model = detector(dict(max_per_img=10, flip_test=True)).eval()
    image = inputs(model)['inputs'][:1]
    with torch.no_grad():
        maps, mirrored = model.predict_maps(image), model.predict_maps(image.flip(-1))
        once = detector(dict(max_per_img=10)).eval().predict_maps(image)
    back = flip_maps(mirrored, 8)
    for name in ('heatmap', 'size', 'shape', 'saliency'):
        torch.testing.assert_close(getattr(back, name), getattr(maps, name), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(once.heatmap, maps.heatmap)


@pytest.mark.parametrize('flip_test', [False, True])
def test_instances_are_those_of_the_maps_of_all_branches(flip_test):
    model = detector(dict(max_per_img=10, flip_test=flip_test))
    torch.nn.init.constant_(model.bbox_head.size_head[2].bias, 5.0)
    torch.nn.init.constant_(model.bbox_head.saliency_head[2].bias, 3.0)
    torch.nn.init.normal_(model.bbox_head.shape_head[2].weight, std=10.0)  # so that masks depend on the cell
    data = inputs(model)
    with torch.no_grad():
        model.train()(**data, mode='loss')  # statistics for the norms
        model.eval()
        maps = model.predict_maps(data['inputs'])
        metas = [sample.metainfo for sample in data['data_samples']]
        expected = model.bbox_head.predict_by_feat(*maps, batch_img_metas=metas, rescale=True)
        found = [sample.pred_instances for sample in model(**data, mode='predict')]
    for ours, theirs in zip(found, expected, strict=True):
        assert len(ours) > 0
        torch.testing.assert_close(ours.bboxes, theirs.bboxes)
        assert ours.masks.any() and (ours.masks != theirs.masks).float().mean() < 1e-4  # sums in another order


def test_no_map_of_all_shapes_is_made():
    """It would be the largest tensor of a step, of S * S channels, to be read at the objects only."""
    model = detector()

    def fail(*args):
        raise AssertionError('the whole map was made')

    model.bbox_head.shape_head.forward = fail
    losses = model.train()(**inputs(model), mode='loss')
    model.parse_losses(losses)[0].backward()
    assert model.bbox_head.shape_head[0].weight.grad.abs().sum() > 0
    with torch.no_grad():
        model.eval()(**inputs(model), mode='predict')


def test_it_trains_and_predicts_under_autocast():
    model = detector(dict(max_per_img=10, flip_test=True))
    with torch.autocast('cpu', torch.bfloat16):
        losses = model.train()(**inputs(model), mode='loss')
        with torch.no_grad():
            results = model.eval()(**inputs(model), mode='predict')
    assert all(value.dtype == torch.float32 for value in losses.values())
    assert len(results[0].pred_instances) > 0
