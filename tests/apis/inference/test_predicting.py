"""What is written of images and videos, and that a run goes on where it was broken off."""

import json

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mmkd.apis.export.runtime import Prediction
from mmkd.apis.inference.predicting import predict
from mmkd.apis.inference.sources import image_files
from mmkd.utils.errors import UserError


class Squares:
    """Finds a square in each image, its label by its brightness."""

    metadata = dict(classes=['dark', 'bright'], palette=[[0, 0, 255], [255, 0, 0]])

    def __init__(self, fail_at=None):
        self.seen, self.fail_at = 0, fail_at

    def predict(self, image, colour):
        assert colour == 'bgr'
        if self.seen == self.fail_at:
            raise KeyboardInterrupt
        self.seen += 1
        mask = np.zeros((1, *image.shape[:2]), dtype=bool)
        mask[0, 2:10, 3:9] = True
        bright = int(image.mean() > 100)
        return Prediction(np.array([[3.0, 2, 9, 10]]), np.array([0.75]), np.array([bright]), mask, np.array([0.5]))


class Maps(Squares):
    def predict(self, image, colour):
        return Prediction(classes=(image[..., 0] > 100).astype(np.int32))


class Depths(Squares):
    def predict(self, image, colour):
        return Prediction(depth=np.full(image.shape[:2], 1.5, np.float32))


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / 'images'
    (folder / 'sub').mkdir(parents=True)
    for name, value in (('a.png', 20), ('b.jpg', 200), ('sub/a.PNG', 220), ('a.jpg', 30)):
        cv2.imwrite(str(folder / 'x.png'), np.full((24, 32, 3), value, np.uint8))
        (folder / 'x.png').rename(folder / name)
    (folder / 'notes.txt').write_text('no image')
    return folder


def test_objects_of_a_folder(images, tmp_path):
    report = predict(Squares(), images, tmp_path / 'out')
    assert report[0].startswith('4 images, 4 of them predicted now')
    found = json.loads((tmp_path / 'out/results.json').read_text())
    assert [item['file_name'] for item in found] == ['a.jpg', 'a.png', 'b.jpg', 'sub/a.PNG']
    assert [item['category_id'] for item in found] == [0, 0, 1, 1]
    assert json.loads((tmp_path / 'out/classes.json').read_text()) == ['dark', 'bright']
    first = found[0]
    assert (first['bbox'], first['score'], first['mask_score']) == ([3.0, 2.0, 6.0, 8.0], 0.75, 0.5)
    assert coco_mask.area(first['segmentation']) == 48
    assert (tmp_path / 'out/pictures/sub/a.jpg').is_file()
    assert (tmp_path / 'out/pictures/a.png.jpg').is_file()  # beside a.jpg.jpg: the names differ in the suffix only


def test_label_maps_and_depths_are_png(images, tmp_path):
    predict(Maps(), images, tmp_path / 'maps')
    assert (cv2.imread(str(tmp_path / 'maps/results/b.png'), cv2.IMREAD_UNCHANGED) == 1).all()
    picture = cv2.imread(str(tmp_path / 'maps/pictures/b.jpg'))
    assert np.abs(picture.astype(int) - [0, 0, 255]).max() < 8  # the palette is RGB, the file BGR
    assert not (tmp_path / 'maps/results.json').exists()
    predict(Depths(), images / 'b.jpg', tmp_path / 'depths', pictures=False)
    depth = cv2.imread(str(tmp_path / 'depths/results/b.png'), cv2.IMREAD_UNCHANGED)
    assert depth.dtype == np.uint16
    assert (depth == 1500).all()


def test_a_run_that_was_broken_off_goes_on(images, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        predict(Squares(fail_at=2), images, tmp_path / 'out')
    assert not (tmp_path / 'out/results.json').exists()
    model = Squares()
    assert '2 of them predicted now' in predict(model, images, tmp_path / 'out')[0]
    assert model.seen == 2
    assert len(json.loads((tmp_path / 'out/results.json').read_text())) == 4


def test_a_video(tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / 'clip.avi'), cv2.VideoWriter_fourcc(*'MJPG'), 10, (32, 24))
    for value in (10, 120, 240):
        writer.write(np.full((24, 32, 3), value, np.uint8))
    writer.release()
    report = predict(Squares(), tmp_path / 'clip.avi', tmp_path / 'out')
    found = json.loads((tmp_path / 'out/results.json').read_text())
    assert [(item['image_id'], item['file_name'], item['category_id']) for item in found] == [
        (0, 'clip.avi#0', 0),
        (1, 'clip.avi#1', 1),
        (2, 'clip.avi#2', 1),
    ]
    assert report[-1] == f'video: {tmp_path / "out/video.mp4"}'
    drawn = cv2.VideoCapture(str(tmp_path / 'out/video.mp4'))
    assert drawn.get(cv2.CAP_PROP_FRAME_COUNT) == 3


@pytest.mark.parametrize(
    ('source', 'message'),
    [
        ('missing', 'missing does not exist'),
        ('missing.mp4', r'missing\.mp4 does not exist'),
        ('empty', 'empty: there is no image in it'),
        ('notes.txt', r'notes\.txt: expected an image'),
        ('broken.png', r'broken\.png: it cannot be read as an image'),
    ],
)
def test_what_cannot_be_read_is_named(source, message, tmp_path):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'notes.txt').write_text('no image')
    (tmp_path / 'broken.png').write_bytes(b'no image')
    with pytest.raises(UserError, match=message):
        predict(Squares(), tmp_path / source, tmp_path / 'out')


def test_images_are_found_below_a_folder_in_order(images):
    assert [path.name for path in image_files(images)] == ['a.jpg', 'a.png', 'b.jpg', 'a.PNG']


def test_results_of_another_model_do_not_go_on(images, tmp_path):
    predict(Squares(), images, tmp_path / 'out', made_from=dict(model='one'))
    before = (tmp_path / 'out/results.json').read_text()
    with pytest.raises(UserError, match='made from another model'):
        predict(Squares(), images, tmp_path / 'out', made_from=dict(model='two'))
    with pytest.raises(UserError, match='another score_thr'):
        predict(Squares(), images, tmp_path / 'out', score_thr=0.1, made_from=dict(model='one'))
    assert (tmp_path / 'out/results.json').read_text() == before
