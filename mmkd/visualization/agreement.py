"""Where a student follows its teacher and where it does not, drawn over the image."""

from __future__ import annotations

from collections import Counter

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from .scene import Scene
from .side_by_side import draw_boxes

__all__ = ['COLOURS', 'compare_scenes']

# A model alone sees the teacher's objects or classes as the truth where there is no other.
COLOURS = {
    'both right': (40, 190, 80),
    'teacher alone right': (255, 150, 0),
    'student alone right': (40, 120, 255),
    'both wrong alike': (110, 110, 110),
    'wrong apart': (200, 60, 220),
    'missed by both': (255, 255, 255),
}
SAME_OBJECT = 0.5  # IoU
COVER = 0.55  # how much the colours cover the image
FAR = 0.5  # of a depth: e^0.5 = 1.65 times the teacher's is the end of the colours


def compare_scenes(
    image: np.ndarray, teacher: Scene, student: Scene, truth: Scene | None = None
) -> tuple[np.ndarray, dict[str, float]]:
    """Compares what two models see, against the truth where it is known, else against the teacher.

    Args:
        image: (H, W, 3) uint8, RGB.
        teacher: What the teacher sees.
        student: What the student sees.
        truth: What is there. Of depth it is not asked: the picture shows the student's depth over the teacher's, blue
            where it is nearer and red where it is farther.

    Returns:
        (H, W, 3) uint8 in the colours of :data:`COLOURS`, and for each of these the number of objects or of pixels; of
        depth the mean of the absolute logarithm of the ratio.

    Raises:
        ValueError: The two are of different kinds.
    """
    if teacher.depth is not None and student.depth is not None:
        return _compare_depth(teacher.depth, student.depth)
    if teacher.classes is not None and student.classes is not None:
        return _compare_classes(image, teacher.classes, student.classes, None if truth is None else truth.classes)
    if teacher.boxes is not None and student.boxes is not None:
        return _compare_objects(image, teacher, student, truth)
    raise ValueError('teacher, student: predictions of one kind were expected (objects, classes or depth)')


def _compare_depth(teacher: np.ndarray, student: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
    known = (teacher > 0) & (student > 0)
    ratio = np.log(np.where(known, student, 1.0) / np.where(known, teacher, 1.0))
    place = np.clip(ratio / FAR, -1, 1)[..., None]
    white, blue, red = (np.array(colour) for colour in ((245, 245, 245), (40, 90, 220), (220, 50, 40)))
    drawn = white + np.abs(place) * (np.where(place < 0, blue, red) - white)
    drawn[~known] = 0
    return drawn.round().astype(np.uint8), dict(log_ratio=float(np.abs(ratio[known]).mean()) if known.any() else 0.0)


def _compare_classes(image, teacher, student, truth) -> tuple[np.ndarray, dict[str, float]]:
    labelled = np.ones(teacher.shape, bool) if truth is None else truth != 255
    truth = teacher if truth is None else truth
    right_t, right_s, same = teacher == truth, student == truth, teacher == student
    areas = {
        'both right': right_t & right_s,
        'teacher alone right': right_t & ~right_s,
        'student alone right': right_s & ~right_t,
        'both wrong alike': ~right_t & ~right_s & same,
        'wrong apart': ~right_t & ~right_s & ~same,
    }
    canvas, counts = image.astype(np.float32), Counter()
    for name, area in areas.items():
        area = area & labelled
        canvas[area] = (1 - COVER) * canvas[area] + COVER * np.array(COLOURS[name])
        counts[name] = int(area.sum())
    return canvas.round().astype(np.uint8), dict(counts)


def _compare_objects(image, teacher: Scene, student: Scene, truth: Scene | None) -> tuple[np.ndarray, dict[str, float]]:
    true = teacher if truth is None or truth.boxes is None else truth
    found_t, found_s = _matches(true, teacher), _matches(true, student)
    false_t = [i for i in range(len(teacher.boxes)) if i not in found_t.values()]
    false_s = [i for i in range(len(student.boxes)) if i not in found_s.values()]
    alike = _matches(_only(teacher, false_t), _only(student, false_s))
    drawn: list[tuple[str, Scene, int]] = []
    for i in range(len(true.boxes)):
        seen = (i in found_t, i in found_s)
        name = {
            (True, True): 'both right',
            (True, False): 'teacher alone right',
            (False, True): 'student alone right',
            (False, False): 'missed by both',
        }[seen]
        drawn.append((name, true, i))
    drawn += [('both wrong alike', teacher, false_t[i]) for i in alike]
    drawn += [('wrong apart', teacher, index) for i, index in enumerate(false_t) if i not in alike]
    drawn += [('wrong apart', student, index) for i, index in enumerate(false_s) if i not in alike.values()]
    canvas = image.copy()
    for name, scene, index in drawn:
        canvas = _draw_object(canvas, scene, index, COLOURS[name])
    counts = Counter(name for name, _, _ in drawn)
    return canvas, {name: counts[name] for name in COLOURS}


def _draw_object(canvas: np.ndarray, scene: Scene, index: int, colour: tuple[int, int, int]) -> np.ndarray:
    if scene.masks is None:
        return draw_boxes(canvas, scene.boxes[index : index + 1], colour)
    inside = scene.masks[index]
    canvas[inside] = ((1 - COVER) * canvas[inside] + COVER * np.array(colour)).astype(np.uint8)
    outline, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(canvas, outline, -1, colour, thickness=1)
    return canvas


def _only(scene: Scene, indices: list[int]) -> Scene:
    masks = None if scene.masks is None else scene.masks[indices]
    return Scene(boxes=scene.boxes[indices], labels=scene.labels[indices], masks=masks)


def _matches(first: Scene, second: Scene) -> dict[int, int]:
    """Which object of the second each of the first is; the largest IoU first, each once, of one class."""
    if not len(first.boxes) or not len(second.boxes):
        return {}
    with_masks = first.masks is not None and second.masks is not None
    codes = [_codes(scene, with_masks) for scene in (second, first)]
    ious = np.asarray(coco_mask.iou(*codes, [0] * len(first.boxes))).T
    ious = np.where(first.labels[:, None] == second.labels[None], ious, 0)
    matches: dict[int, int] = {}
    for i, j in zip(*np.unravel_index(np.argsort(-ious, axis=None), ious.shape), strict=True):
        if ious[i, j] <= SAME_OBJECT:
            break
        if int(i) not in matches and int(j) not in matches.values():
            matches[int(i)] = int(j)
    return matches


def _codes(scene: Scene, with_masks: bool):
    if with_masks:
        return coco_mask.encode(np.asfortranarray(scene.masks.transpose(1, 2, 0).astype(np.uint8)))
    boxes = np.asarray(scene.boxes, np.float64)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
