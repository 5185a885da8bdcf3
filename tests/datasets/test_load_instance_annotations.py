"""Masks are loaded in the form in which the annotation file has them."""

import numpy as np
import pytest
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from pycocotools import mask as coco_mask

from mmkd.datasets import LoadInstanceAnnotations

POLYGON = [[1.0, 1.0, 6.0, 1.0, 6.0, 5.0, 1.0, 5.0]]


def rle(polygon=POLYGON) -> dict:
    code = coco_mask.merge(coco_mask.frPyObjects(polygon, 8, 8))
    return dict(size=code['size'], counts=code['counts'].decode())


def load(*masks, ignored=(), step=None) -> dict:
    instances = [
        dict(bbox=[1, 1, 6, 5], bbox_label=0, ignore_flag=int(i in ignored), mask=mask) for i, mask in enumerate(masks)
    ]
    return (step or LoadInstanceAnnotations())(dict(ori_shape=(8, 8), instances=instances))


def test_polygons_stay_polygons():
    masks = load(POLYGON)['gt_masks']
    assert isinstance(masks, PolygonMasks)
    np.testing.assert_array_equal(masks.masks[0][0], POLYGON[0])


def test_run_length_masks_become_bitmaps_of_the_same_area_and_none_is_ignored():
    loaded = load(rle(), POLYGON)
    assert isinstance(loaded['gt_masks'], BitmapMasks)
    assert loaded['gt_masks'].masks.sum(axis=(1, 2)).tolist() == [20, 20]  # 5 x 4 pixels each
    assert loaded['gt_ignore_flags'].tolist() == [False, False]


def test_a_crowd_does_not_turn_polygons_into_bitmaps():
    loaded = load(POLYGON, rle(), ignored=[1])
    assert isinstance(loaded['gt_masks'], PolygonMasks)
    assert loaded['gt_ignore_flags'].tolist() == [False, True]


def test_each_image_is_looked_at_by_itself():
    step = LoadInstanceAnnotations()
    kinds = [type(load(*masks, step=step)['gt_masks']) for masks in ([rle()], [POLYGON], [], [rle()])]
    assert kinds == [BitmapMasks, PolygonMasks, PolygonMasks, BitmapMasks]


def test_poly2mask_is_not_taken():
    with pytest.raises(TypeError, match='poly2mask is chosen from the masks'):
        LoadInstanceAnnotations(poly2mask=True)


@pytest.mark.parametrize('name', ['coco_instance_800', 'coco_instance_600', 'coco_instance_center512', 'voc_instance'])
@pytest.mark.parametrize('mask', [POLYGON, rle()], ids=['polygons', 'RLE'])
def test_every_instance_data_set_of_the_configs_takes_both(name, mask):
    from pathlib import Path

    from mmengine.config import Config
    from mmengine.registry import TRANSFORMS, DefaultScope

    cfg = Config.fromfile(Path(__file__).parents[2] / f'configs/_base_/datasets/{name}.py')
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        step = next(step for step in loader.dataset.pipeline if 'Annotations' in step.type and step.get('with_mask'))
        with DefaultScope.overwrite_default_scope('mmdet'):
            loaded = load(mask, step=TRANSFORMS.build(step))
        assert loaded['gt_ignore_flags'].tolist() == [False]
        assert loaded['gt_masks'].areas.tolist() == [20]
