"""Where a student follows its teacher, in numbers and colours."""

import numpy as np
import pytest

from mmkd.visualization.agreement import COLOURS, compare_scenes
from mmkd.visualization.scene import Scene

GREY = np.full((40, 60, 3), 90, np.uint8)


def objects(*boxes, masks=False):
    """Boxes of class 0, as masks too."""
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    filled = np.zeros((len(boxes), 40, 60), bool)
    for mask, (x1, y1, x2, y2) in zip(filled, boxes.astype(int), strict=True):
        mask[y1:y2, x1:x2] = True
    return Scene(boxes=boxes, labels=np.zeros(len(boxes), int), masks=filled if masks else None)


A, B, C, D = (2, 2, 12, 12), (16, 2, 26, 12), (30, 2, 40, 12), (44, 2, 54, 12)
SEEN = ('both right', 'teacher alone right', 'student alone right', 'both wrong alike', 'wrong apart')
NOTHING = (2, 20, 12, 30)  # where no object is
ALSO_NOTHING = (30, 20, 40, 30)


@pytest.mark.parametrize('masks', [False, True])
def test_objects_are_counted_by_who_is_right(masks):
    truth = objects(A, B, C, D, masks=masks)
    teacher = objects(A, B, NOTHING, ALSO_NOTHING, masks=masks)
    student = objects((3, 2, 12, 12), C, NOTHING, masks=masks)  # the first with an IoU of 0.9
    picture, counts = compare_scenes(GREY, teacher, student, truth)
    assert counts == dict.fromkeys([*SEEN, 'missed by both'], 1)
    assert (picture[38:] == GREY[38:]).all() and (picture != GREY).any()
    if masks:  # the middle of an object is covered by 55 % of its colour
        expected = (0.45 * 90 + 0.55 * np.array(COLOURS['teacher alone right'])).astype(int)
        assert picture[7, 21].tolist() == expected.tolist()


def test_without_a_truth_the_teacher_is_right_and_another_class_is_no_match():
    teacher, student = objects(A, B), objects(A, B)
    student = Scene(boxes=student.boxes, labels=np.array([0, 1]))
    _, counts = compare_scenes(GREY, teacher, student)
    assert {name: number for name, number in counts.items() if number} == {
        'both right': 1,
        'teacher alone right': 1,
        'wrong apart': 1,
    }


def test_nothing_seen_by_anyone_is_no_error():
    _, counts = compare_scenes(GREY, objects(), objects())
    assert not any(counts.values())


def test_pixels_are_counted_where_they_are_labelled():
    truth = np.array([[0, 0, 0, 0, 0, 255]])
    teacher = np.array([[0, 0, 1, 1, 1, 1]])
    student = np.array([[0, 1, 0, 1, 2, 2]])
    picture, counts = compare_scenes(
        np.zeros((1, 6, 3), np.uint8), Scene(classes=teacher), Scene(classes=student), Scene(classes=truth)
    )
    assert counts == dict.fromkeys(SEEN, 1)
    assert picture[0, 5].tolist() == [0, 0, 0]


def test_depth_is_white_where_it_is_the_teachers_red_where_farther_and_black_where_unknown():
    teacher, student = np.array([[1.0, 1.0, 1.0, 0.0]]), np.array([[1.0, 4.0, 0.25, 1.0]])
    picture, counts = compare_scenes(np.zeros((1, 4, 3), np.uint8), Scene(depth=teacher), Scene(depth=student))
    assert picture[0].tolist() == [[245, 245, 245], [220, 50, 40], [40, 90, 220], [0, 0, 0]]
    assert counts['log_ratio'] == pytest.approx((0 + 2 * np.log(4)) / 3)


def test_different_kinds_are_refused():
    with pytest.raises(ValueError, match='of one kind'):
        compare_scenes(GREY, objects(A), Scene(depth=np.ones((40, 60))))
