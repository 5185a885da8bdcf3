"""A training or prediction step waits for the device a few times, not some for each image or each tensor."""

import numpy as np
import pytest
import torch
from helpers.host_reads import OnDevice, on_device, reads_of
from helpers.tiny_center_mask import image_sample, tiny_center_mask
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from mmkd.models.dense_heads.center_targets import center_targets
from mmkd.models.dense_heads.point_mask_decoding import Frame, boxes_of_image, decode_centers, paste_point_masks
from mmkd.models.roi_heads.mask_targets import mask_targets, of_batch, visible_area_ratios
from mmkd.registry import MODELS

SIZE = 64


def boxes_of(number: int) -> torch.Tensor:
    corners = torch.rand(number, 2) * 30
    return torch.cat([corners, corners + 10 + torch.rand(number, 2) * 20], dim=1)


def instances(number: int, kind: str = 'bitmap') -> InstanceData:
    boxes = boxes_of(number)
    if kind == 'bitmap':
        masks = BitmapMasks(np.ones((number, SIZE, SIZE), np.uint8), SIZE, SIZE)
    else:
        masks = PolygonMasks([[np.array([x1, y1, x2, y1, x2, y2])] for x1, y1, x2, y2 in boxes.tolist()], SIZE, SIZE)
    return InstanceData(bboxes=on_device(boxes), labels=on_device(torch.zeros(number).long()), masks=masks)


def test_the_counter_counts():
    x = on_device(torch.arange(4.0))
    assert reads_of(lambda: x[x > 1]) == ['__getitem__']
    assert reads_of(lambda: (x + 1).max().item()) == ['item']
    assert reads_of(lambda: (x * 2).cpu().tolist()) == ['cpu']
    assert reads_of(lambda: x[torch.tensor([1])] * 2) == []
    assert isinstance(x.sqrt(), OnDevice)


@pytest.mark.parametrize('images', [1, 4])
def test_targets_of_centres(images):
    batch = [instances(3) for _ in range(images)]
    # which objects are on the map, and how far the largest Gaussian reaches
    assert len(reads_of(center_targets, batch, (images, 2, 16, 16), 4)) == 2


@pytest.mark.parametrize('images', [1, 4])
def test_masks_of_objects_with_centres(images):
    head = MODELS.build(dict(type='mmkd.PointCenterMaskHead', num_classes=2, in_channels=4, feat_channels=4))
    batch = [instances(3) for _ in range(images)]
    shape = (images, 2, 16, 16)
    targets = center_targets(batch, shape, 4)
    assert reads_of(head._mask_targets, targets, batch, shape) == ['cpu']


class Sampled:
    def __init__(self, number, instances):
        self.pos_priors = on_device(boxes_of(number))
        self.pos_assigned_gt_inds = on_device(torch.randint(0, instances, (number,)))


@pytest.mark.parametrize('images', [1, 4])
@pytest.mark.parametrize('kind', ['polygon', 'bitmap'])
@pytest.mark.parametrize(('measure', 'args'), [(mask_targets, (28,)), (visible_area_ratios, ())])
def test_targets_of_masks(measure, args, kind, images):
    sampled = [Sampled(5, 3) for _ in range(images)]
    batch = [instances(3, kind) for _ in range(images)]
    assert reads_of(of_batch, measure, sampled, batch, *args) == ['cpu']
    found = of_batch(measure, sampled, batch, *args)
    alone = [measure(b.masks, s.pos_priors, s.pos_assigned_gt_inds, *args) for s, b in zip(sampled, batch, strict=True)]
    assert torch.equal(found, torch.cat(alone))


def test_boxes_of_an_image():
    with DefaultScope.overwrite_default_scope('mmdet'):
        head = tiny_center_mask().bbox_head
    levels = [SIZE // stride for stride in (8, 16, 32, 64, 128) if stride <= SIZE] + [1]
    maps = [[on_device(torch.randn(2, channels, n, n)) for n in levels] for channels in (3, 4, 1)]
    metas = [image_sample(height=SIZE, width=SIZE).metainfo] * 2
    reads = reads_of(head.predict_by_feat, *maps, batch_img_metas=metas)
    # the candidates; what mmcv reads for NMS, and what it gives, is not counted here
    assert reads == ['nonzero'] * len(metas)


@pytest.mark.parametrize('images', [1, 4])
def test_objects_with_centres(images):
    heatmap = on_device(torch.rand(images, 2, 16, 16))
    two = on_device(torch.rand(images, 2, 16, 16) * 4)
    centers = decode_centers(heatmap, two, two, 10)
    assert reads_of(centers.of_images, 0.5) == ['tolist']


def test_masks_of_an_image():
    two = on_device(torch.rand(1, 2, 16, 16) * 4)
    (found,) = decode_centers(on_device(torch.rand(1, 2, 16, 16)), two, two, 10).of_images(0.0)
    meta = dict(img_shape=(SIZE, SIZE), ori_shape=(SIZE, SIZE), scale_factor=(1.0, 1.0))
    frame = Frame.of(meta, stride=4, rescale=True)
    assert reads_of(boxes_of_image, found, frame) == ['nonzero']  # which are in the image
    shapes, saliency = on_device(torch.randn(len(found.score), 4, 4)), on_device(torch.randn(1, 16, 16))
    reads = reads_of(paste_point_masks, shapes, saliency, found.box, torch.zeros_like(found.label), frame)
    assert sorted(reads) == ['repeat_interleave', 'tolist']  # how large they are, how many cells their boxes have
