"""Pictures of several models' predictions."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image

import mmkd  # noqa: F401
from mmkd.registry import MODELS
from mmkd.visualization import draw_classes, draw_depth
from mmkd.visualization.compare import ComparedModel, compare_models

CONFIGS = Path(__file__).parents[2] / 'configs'
PALETTE = [[255, 0, 0], [0, 255, 0]]


def test_classes_take_the_colours_of_the_palette_and_pixels_without_a_label_are_black():
    image = np.full((1, 4, 3), 100, np.uint8)
    classes = np.array([[0, 1, 255, -1]])
    drawn = draw_classes(image, classes, PALETTE, alpha=1.0)
    assert drawn.tolist() == [[[255, 0, 0], [0, 255, 0], [0, 0, 0], [0, 0, 0]]]
    assert draw_classes(image, classes, PALETTE, alpha=0.5)[0, 0].tolist() == [178, 50, 50]
    with pytest.raises(ValueError, match=r'\(1, 3\) was given, \(1, 4\) was expected'):
        draw_classes(image, classes[:, :3], PALETTE)


@pytest.fixture
def camvid(tmp_path, monkeypatch):
    """Three images of CamVid's size divided by ten, and a config that reads them."""
    rng = np.random.default_rng(0)
    for part, suffix, shape, values in (('images', 'jpg', (36, 48, 3), 256), ('annotations', 'png', (36, 48), 11)):
        folder = tmp_path / 'camvid' / part / 'test'
        folder.mkdir(parents=True)
        for i in range(3):
            Image.fromarray(rng.integers(0, values, shape).astype(np.uint8)).save(folder / f'{i}.{suffix}')
    monkeypatch.setenv('MMKD_DATA', str(tmp_path))
    return Config.fromfile(CONFIGS / 'espnet/espnet-c_40k_camvid-480x360.py')


def sees_sky_only(cfg, path):
    """The checkpoint of a model whose scores are all the same, so that the first class wins everywhere."""
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(cfg.model)
    torch.nn.init.zeros_(model.decode_head.conv_seg.weight)
    if model.decode_head.conv_seg.bias is not None:
        torch.nn.init.zeros_(model.decode_head.conv_seg.bias)
    torch.save(model.state_dict(), path)
    return str(path)


def test_a_row_holds_image_labels_and_every_model(camvid, tmp_path):
    made = compare_models(
        [
            ComparedModel('sky', camvid, sees_sky_only(camvid, tmp_path / 'a.pth')),
            ComparedModel('again', camvid, sees_sky_only(camvid, tmp_path / 'b.pth')),
        ],
        tmp_path / 'drawn',
        number=2,
    )
    assert [file.name for file in made.files] == ['0.png', '2.png']  # the ends of the test set
    picture = cv2.imread(str(made.files[0]))[..., ::-1]
    middle = picture[int(picture.shape[0] * 0.6)]
    eighths = len(middle) // 8
    sky = [128, 128, 128]  # its colour in the palette
    assert middle[5 * eighths].tolist() == sky and middle[7 * eighths].tolist() == sky
    label = np.array(Image.open(tmp_path / 'camvid/annotations/test/0.png'))
    assert len(np.unique(label)) > 5 and len(np.unique(middle[2 * eighths + 5 : 4 * eighths - 5], axis=0)) > 5


def test_no_models_and_a_checkpoint_of_another_network_are_refused(camvid, tmp_path):
    with pytest.raises(ValueError, match='models: none'):
        compare_models([], tmp_path)
    torch.save(dict(weight=torch.zeros(1)), tmp_path / 'other.pth')
    with pytest.raises(ValueError, match='other.pth'):
        compare_models([ComparedModel('x', camvid, str(tmp_path / 'other.pth'))], tmp_path / 'drawn')
    assert not (tmp_path / 'drawn').exists()


def test_near_is_bright_far_is_dark_and_no_reading_is_black():
    drawn = draw_depth(np.array([[0.0, 1.0, 2.0, 4.0, 0.5, 9.0]]), near=1.0, far=4.0).astype(int)
    brightness = drawn.sum(axis=-1)[0].tolist()
    assert brightness[0] == 0
    assert brightness[1] == brightness[4] > brightness[2] > brightness[3] == brightness[5] > 0
    with pytest.raises(ValueError, match='0 < near < far was expected, got 2.0 and 2.0'):
        draw_depth(np.ones((1, 1)), 2.0, 2.0)


def test_a_row_of_depth_models_holds_image_depth_and_every_model(tmp_path, monkeypatch):
    for part, suffix, picture in (
        ('images', 'jpg', np.full((24, 32, 3), 99, np.uint8)),
        ('depth', 'png', np.full((24, 32), 2000, np.uint16)),
    ):
        folder = tmp_path / 'sevenscenes' / part / 'val'
        folder.mkdir(parents=True)
        picture[:12] = 0 if part == 'depth' else 99
        Image.fromarray(picture).save(folder / f'0.{suffix}')
    monkeypatch.setenv('MMKD_DATA', str(tmp_path))
    cfg = Config.fromfile(CONFIGS.parent / 'projects/reduced_runs/configs/sevenscenes_half.py')
    cfg.model.decode_head.update(channels=8, bins=dict(number=4, min_depth=0.3, max_depth=8.0))
    for step in cfg.test_dataloader.dataset.pipeline:
        if step.type == 'mmkd.CameraResize':
            step.scale = (32, 24)
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(cfg.model)
    torch.save(model.state_dict(), tmp_path / 'a.pth')
    (file,) = compare_models([ComparedModel('student', cfg, str(tmp_path / 'a.pth'))], tmp_path / 'drawn').files
    picture = cv2.imread(str(file))
    height, width = picture.shape[:2]
    third = picture[int(height * 0.4), width // 2], picture[int(height * 0.8), width // 2]
    assert third[0].tolist() == [0, 0, 0] and third[1].sum() > 0  # no reading above, a reading below
    assert picture[int(height * 0.4), int(width * 0.9)].sum() > 0  # the model predicts everywhere
