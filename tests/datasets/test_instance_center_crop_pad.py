"""CenterNet's crop with masks: image, boxes and masks have to stay on top of each other."""

import numpy as np
import pytest
import torch
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.registry import DefaultScope

from mmkd.registry import TRANSFORMS

BOXES = [(10, 8, 30, 40), (60, 20, 90, 50), (5, 50, 25, 58)]


def results(polygons):
    """Each object is a rectangle of a grey value of its own, 100 more than its number."""
    image = np.zeros((60, 100, 3), np.float32)
    bitmaps = np.zeros((3, 60, 100), np.uint8)
    for k, (x1, y1, x2, y2) in enumerate(BOXES):
        image[y1:y2, x1:x2] = 100 + k
        bitmaps[k, y1:y2, x1:x2] = 1
    outlines = [[np.array([x1, y1, x2, y1, x2, y2, x1, y2], float)] for x1, y1, x2, y2 in BOXES]
    return dict(
        img=image,
        img_shape=(60, 100),
        gt_bboxes=HorizontalBoxes(torch.tensor(BOXES, dtype=torch.float32)),
        gt_bboxes_labels=np.array([7, 8, 9]),
        gt_ignore_flags=np.array([False, True, False]),
        gt_masks=PolygonMasks(outlines, 60, 100) if polygons else BitmapMasks(bitmaps, 60, 100),
    )


def crop(**options):
    defaults = dict(crop_size=(64, 64), ratios=(0.5, 1.0, 1.5), border=32, mean=[0, 0, 0], std=[1, 1, 1], to_rgb=True)
    with DefaultScope.overwrite_default_scope('mmdet'):
        return TRANSFORMS.build(dict(type='mmkd.InstanceCenterCropPad', test_pad_mode=None, **(defaults | options)))


@pytest.mark.parametrize('polygons', [False, True])
def test_masks_stay_where_the_objects_are(polygons):
    np.random.seed(0)
    transform, numbers, sizes = crop(), set(), set()
    for _ in range(30):
        found = transform(results(polygons))
        height, width = found['img_shape']
        assert found['img'].shape[:2] == (height, width) == (found['gt_masks'].height, found['gt_masks'].width)
        masks = found['gt_masks'].to_ndarray()
        labels = found['gt_bboxes_labels']
        assert len(masks) == len(labels) == len(found['gt_bboxes']) == len(found['gt_ignore_flags']) > 0
        for mask, label, box, ignored in zip(
            masks, labels, found['gt_bboxes'].tensor.long().tolist(), found['gt_ignore_flags'], strict=True
        ):
            expected = found['img'][..., 0] == 100 + label - 7
            assert np.array_equal(mask.astype(bool), expected)
            rows, columns = expected.nonzero()
            assert box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert ignored == (label == 8)
        numbers.add(len(labels))
        sizes.add((height, width))
    assert len(numbers) > 1 and len(sizes) == 3


def test_images_without_objects_are_cut_as_well():
    empty = results(False)
    empty.update(
        gt_bboxes=HorizontalBoxes(torch.zeros(0, 4)),
        gt_bboxes_labels=np.zeros(0, int),
        gt_ignore_flags=np.zeros(0, bool),
        gt_masks=BitmapMasks(np.zeros((0, 60, 100), np.uint8), 60, 100),
    )
    found = crop(ratios=(1.0,))(empty)
    assert found['gt_masks'].masks.shape == (0, 64, 64)


def test_without_masks_it_is_mmdets():
    plain = results(False)
    del plain['gt_masks']
    assert 'gt_masks' not in crop()(plain)
