"""The comparison sees what a mean over objects would not: labels, scores and masks that belong to other boxes."""

import copy

import numpy as np
import pytest

from mmkd.apis.export.check import Agreement, Tolerance, compare, views_of
from mmkd.apis.export.runtime import Prediction


def prediction():
    boxes = np.array([[0, 0, 20, 20], [30, 5, 50, 40], [4, 30, 24, 58]], np.float32)
    masks = np.zeros((3, 64, 64), dtype=bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.astype(int), strict=True):
        mask[y1:y2, x1:x2] = True
    return Prediction(boxes, np.array([0.9, 0.8, 0.7]), np.array([0, 1, 2]), masks, np.array([0.8, 0.6, 0.5]))


def agreement_of(given, expected=None, tolerance=Tolerance()):  # noqa: B008
    agreement = Agreement()
    compare(expected or prediction(), given, tolerance, agreement, 'one.png')
    return agreement


def test_the_same_agrees():
    agreement = agreement_of(prediction())
    assert (agreement.compared, agreement.off) == (3, 0)
    assert agreement.passes(Tolerance())


def test_the_order_does_not_matter():
    given = prediction()
    for name in ('boxes', 'scores', 'labels', 'masks', 'mask_scores'):
        setattr(given, name, getattr(given, name)[::-1])
    assert agreement_of(given).off == 0


@pytest.mark.parametrize(
    ('name', 'message'),
    [('labels', 'label 1 instead of 0'), ('scores', 'score 0.8000 instead of 0.9000'), ('masks', 'mask IoU 0.0000')],
)
def test_what_is_swapped_between_boxes_is_seen(name, message):
    given = prediction()
    setattr(given, name, getattr(given, name)[[1, 0, 2]])
    agreement = agreement_of(given)
    assert agreement.off == 2
    assert f'one.png: box [0.0, 0.0, 20.0, 20.0]: {message}' in agreement.problems
    assert not agreement.passes(Tolerance())


def test_a_box_that_is_off_is_seen():
    given = prediction()
    given.boxes = given.boxes + np.array([0, 0, 0.6, 0], np.float32)
    agreement = agreement_of(given)
    assert agreement.off > 0
    line = 'one.png: only the model has label 0, score 0.900, box [0.0, 0.0, 20.0, 20.0]'
    assert agreement.problems[0] == line
    assert agreement_of(given, tolerance=Tolerance(box=0.7)).off == 0


def test_a_mask_that_is_a_little_off_is_seen():
    given = prediction()
    given.masks = given.masks.copy()
    given.masks[0, :1, :4] = False  # 4 of 400 pixels: IoU 0.99
    assert agreement_of(given).off == 1
    given.masks[0, :1, :2] = True
    assert agreement_of(given).off == 0


def test_of_two_objects_with_one_box_those_of_a_label_belong_together():
    expected = prediction()
    expected.boxes[1] = expected.boxes[0]
    expected.masks[1] = expected.masks[0]
    given = copy.deepcopy(expected)
    for name in ('boxes', 'scores', 'labels', 'masks', 'mask_scores'):
        setattr(given, name, getattr(given, name)[[1, 0, 2]])
    assert agreement_of(given, expected).off == 0


def test_missing_objects_are_seen_unless_they_are_the_last_on_the_list():
    given = prediction()
    for name in ('boxes', 'scores', 'labels', 'masks', 'mask_scores'):
        setattr(given, name, getattr(given, name)[:2])
    assert agreement_of(given).off == 0
    assert agreement_of(prediction(), given).off == 0
    for name in ('boxes', 'scores', 'labels', 'masks', 'mask_scores'):
        setattr(given, name, getattr(given, name)[1:])
    assert agreement_of(given).off == 1


def test_pixels_and_depths_are_counted():
    classes = np.zeros((10, 10), int)
    other = classes.copy()
    other[0, :3] = 1
    agreement = agreement_of(Prediction(classes=other), Prediction(classes=classes))
    assert (agreement.compared, agreement.off) == (100, 3)
    assert agreement.problems == ['one.png: 3 of 100 classes differ']
    depth = np.full((10, 10), 2.0, np.float32)
    agreement = agreement_of(Prediction(depth=depth * 1.01), Prediction(depth=depth))
    assert agreement.off == 100


def test_nothing_compared_is_no_agreement():
    assert not Agreement().passes(Tolerance())


def test_views_are_of_several_sizes_where_a_file_takes_them():
    image = np.zeros((40, 60, 3), np.uint8)
    assert [view.shape[:2] for view in views_of(image, None)] == [(40, 60), (30, 40)]
    assert [view.shape[:2] for view in views_of(image, (32, 32))] == [(32, 32)]
