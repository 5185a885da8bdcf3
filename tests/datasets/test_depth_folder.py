"""The camera that goes with a depth map stays true to it through resizing, cropping and flipping."""

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from PIL import Image

import mmkd  # noqa: F401
from mmkd.registry import DATASETS, TRANSFORMS

CAMERA = (20.0, 24.0, 9.5, 7.5)
SIZE = (16, 20)  # height, width


@pytest.fixture
def folder(tmp_path):
    """A tilted wall two metres away: 10 mm more with each column; the first row has no reading."""
    for part in ('images', 'depth'):
        (tmp_path / part / 'train').mkdir(parents=True)
    depth = np.broadcast_to(2000 + 10 * np.arange(SIZE[1]), SIZE).astype(np.uint16).copy()
    depth[0] = 0
    for name in ('kitchen', '0001'):
        Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(tmp_path / f'images/train/{name}.jpg')
        Image.fromarray(depth).save(tmp_path / f'depth/train/{name}.png')
    return tmp_path


def dataset(folder, *steps, **options):
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadDepthAnnotation', depth_rescale_factor=1e-3),
        *steps,
        dict(type='PackSegInputs', meta_keys=('img_path', 'img_shape', 'ori_shape', 'intrinsics')),
    ]
    config = dict(
        type='mmkd.DepthFolder',
        data_root=str(folder),
        data_prefix=dict(img_path='images/train', depth_map_path='depth/train'),
        pipeline=pipeline,
    )
    with DefaultScope.overwrite_default_scope('mmseg'):
        return DATASETS.build(dict(dict(config, intrinsics=CAMERA), **options))


def test_depth_is_in_metres_and_zero_where_there_is_no_reading(folder):
    data = dataset(folder)
    assert len(data) == 2
    sample = data[0]['data_samples']
    assert sample.intrinsics == CAMERA
    depth = sample.gt_depth_map.data
    assert depth.shape == (1, *SIZE)
    assert depth[0, 0].abs().max() == 0
    assert depth[0, 1, 3].item() == pytest.approx(2.03, abs=1e-6)


@pytest.mark.parametrize(
    'step, expected',
    [
        # twice as large: 9.5 is 10 pixels from the border, which are 20 now
        (dict(type='CameraResize', scale=(40, 32)), (40.0, 48.0, 19.5, 15.5)),
        (dict(type='CameraRandomFlip', prob=1.0), (20.0, 24.0, 9.5, 7.5)),
        (dict(type='CameraRandomFlip', prob=1.0, direction='vertical'), (20.0, 24.0, 9.5, 7.5)),
    ],
)
def test_camera_after_one_step(folder, step, expected):
    sample = dataset(folder, step)[0]['data_samples']
    assert sample.intrinsics == pytest.approx(expected)


def test_a_flip_mirrors_a_camera_that_is_off_centre(folder):
    camera = (20.0, 24.0, 3.0, 2.0)
    step = dict(type='CameraRandomFlip', prob=1.0)
    assert dataset(folder, step, intrinsics=camera)[0]['data_samples'].intrinsics == (20.0, 24.0, 16.0, 2.0)
    step = dict(step, direction='diagonal')
    assert dataset(folder, step, intrinsics=camera)[0]['data_samples'].intrinsics == (20.0, 24.0, 16.0, 13.0)


def test_a_point_of_the_scene_stays_where_it_is_through_a_crop(folder):
    """The depth says which column a pixel comes from; with the camera it must give the same X = (x - cx) / fx."""
    np.random.seed(1)
    sample = dataset(folder, dict(type='CameraRandomCrop', crop_size=(8, 9)))[0]['data_samples']
    fx, _, cx, cy = sample.intrinsics
    column = round((sample.gt_depth_map.data[0, -1, 4].item() - 2) * 100)
    assert column > 4 and cy < CAMERA[3]  # the crop is not the corner
    assert (4 - cx) / fx == pytest.approx((column - CAMERA[2]) / CAMERA[0])


def test_without_a_camera_nothing_is_added(folder):
    sample = dataset(folder, dict(type='CameraResize', scale=(40, 32)), intrinsics=None)[0]['data_samples']
    assert 'intrinsics' not in sample


def test_a_camera_of_three_numbers_is_refused(folder):
    with pytest.raises(ValueError, match='expected fx, fy, cx, cy'):
        dataset(folder, intrinsics=(1, 2, 3))


def test_transforms_are_found_by_name():
    for name in ('CameraResize', 'CameraRandomCrop', 'CameraRandomFlip'):
        assert TRANSFORMS.get(f'mmkd.{name}').__name__ == name
