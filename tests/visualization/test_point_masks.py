"""Pictures of heatmap, shapes, saliency and masks."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

import mmkd  # noqa: F401
from mmkd.registry import MODELS
from mmkd.visualization.point_masks import draw_map, draw_point_masks, paste_shapes, save_point_masks

PROJECTS = Path(__file__).parents[2] / 'projects'
NUCLEI = Path(__file__).parents[1] / 'data' / 'nuclei' / 'val'


def test_shapes_are_pasted_into_their_boxes():
    shapes = np.array([[[0.0, 1.0], [0.0, 1.0]], [[0.5, 0.5], [0.5, 0.5]]], np.float32)
    boxes = np.array([[0.0, 0.0, 8.0, 4.0], [6.0, 2.0, 12.0, 9.0]])
    canvas = paste_shapes(shapes, boxes, 6, 10)
    assert canvas.shape == (6, 10)
    # a shape of two columns in a box of eight: 0 up to the middle of the first, 1 from the middle of the second on
    np.testing.assert_allclose(canvas[0], [0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1, 0, 0], atol=0.02)
    np.testing.assert_allclose(canvas[3, 6:], [1, 1, 0.5, 0.5], atol=0.02)
    np.testing.assert_allclose(canvas[5], [0] * 6 + [0.5] * 4, atol=0.02)
    assert paste_shapes(shapes[:1], np.array([[-9.0, 0.0, -1.0, 4.0]]), 6, 10).max() == 0


def test_map_goes_from_blue_to_red():
    image = np.zeros((1, 2, 3), np.uint8)
    low, high = draw_map(image, np.array([[0.05, 0.95]]), alpha=1.0)[0].astype(int)
    assert low[2] > low[0] and high[0] > high[2]
    with pytest.raises(ValueError, match=r'\(2, 2\) was given, \(1, 2\)'):
        draw_map(image, np.zeros((2, 2)))


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    torch.manual_seed(0)
    cfg = Config.fromfile(PROJECTS / 'reduced_runs/configs/nuclei_points.py')
    cfg.model.bbox_head.update(feat_channels=8, shape_size=8)
    with DefaultScope.overwrite_default_scope('mmdet'):
        network = MODELS.build(cfg.model)
        network.init_weights()
    path = tmp_path_factory.mktemp('model') / 'random.pth'
    torch.save(network.state_dict(), path)
    return cfg, path, network.eval()


def test_panels_show_an_object_where_it_is(model):
    cfg, _, network = model
    from mmkd.models.dense_heads.point_center_mask_head import PointMaskMaps

    maps = PointMaskMaps(*(torch.zeros(1, c, 16, 24) for c in (1, 2, 2, 64, 1)))
    maps.heatmap.fill_(-9)
    maps.heatmap[0, 0, 5, 10], maps.size[0, :, 5, 10] = 9, torch.tensor([8.0, 4.0])
    maps.shape[0, :, 5, 10], maps.offset[0, :, 5, 10] = 9, 0.5
    maps.saliency.fill_(9)
    from unittest.mock import patch

    from mmdet.structures import DetDataSample

    sample = DetDataSample(metainfo=dict(img_shape=(64, 96), ori_shape=(64, 96)))
    data = dict(inputs=[torch.zeros(3, 64, 96, dtype=torch.uint8)], data_samples=[sample])
    with patch.object(network, 'predict_maps', lambda inputs: maps):
        panels = draw_point_masks(network, np.zeros((64, 96, 3), np.uint8), data)
    assert [title for title, _ in panels] == ['image', 'centre heatmap', 'local shapes', 'global saliency', 'masks']
    assert all(picture.shape == (64, 96, 3) for _, picture in panels)
    # centre (10.5, 5.5) cells = (42, 22) pixels, 32 x 16 pixels large: columns 26 to 57, rows 14 to 29
    drawn = panels[4][1].any(2)
    assert drawn[14:30, 26:58].all() and not drawn[:13].any() and not drawn[:, 60:].any()
    shapes = panels[2][1].astype(int)
    assert (shapes[15:29, 28:56, 0] > shapes[15:29, 28:56, 2]).all() and (shapes[:13, :, 0] <= shapes[:13, :, 2]).all()
    heat = panels[1][1].astype(int)
    assert heat[22, 42, 0] > heat[22, 42, 2] and heat[50, 80, 0] < heat[50, 80, 2]


def test_test_set_and_files_are_drawn(model, tmp_path):
    cfg, checkpoint, _ = model
    files = save_point_masks(cfg, str(checkpoint), [], tmp_path, number=2, score_thr=0.0)
    assert len(files) == 2 and all(cv2.imread(str(file)).shape[1] > 1500 for file in files)
    image = sorted(NUCLEI.glob('*.jpg'))[3]
    (file,) = save_point_masks(cfg, str(checkpoint), [str(image)], tmp_path / 'one', score_thr=0.0)
    assert file.stem == image.stem and file.is_file()


def test_another_model_is_refused(model, tmp_path):
    cfg = Config.fromfile(PROJECTS / 'nuclei_example/configs/centermask-lite_efficientnet-lite0_nuclei.py')
    with pytest.raises(ValueError, match="model.type is 'mmkd.CenterMask', expected 'mmkd.PointCenterMask'"):
        save_point_masks(cfg, str(model[1]), [], tmp_path)
