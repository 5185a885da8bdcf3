"""What is wrong with a data set, found before a training is spent on it, and what is done about each."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np
from pycocotools import mask as coco_mask

from .records import SPLITS, Image, Labels, Object, Problem, open_map

__all__ = ['CHECKS', 'SAME_PICTURE', 'check_labels', 'groups_of_same_pictures']


@dataclass(frozen=True)
class Check:
    """One kind of problem.

    Attributes:
        title: What is wrong.
        action: What was done about it.
        weight: How bad one is, to find the worst images.
    """

    title: str
    action: str
    weight: float = 1.0


CHECKS = {
    'unreadable': Check('cannot be read', 'left out', 3),
    'no image': Check('labels without an image', 'left out', 2),
    'unlabelled': Check('images without labels', 'left out', 0),
    'other size': Check('labels made for another size of the image', 'image left out', 3),
    'no mask': Check('a box where other objects have a mask', 'object left out', 1),
    'wrong class': Check('a class that is not in the list', 'left out; ignored in label maps', 3),
    'zero area': Check('objects without area', 'left out', 2),
    'out of image': Check('objects that reach out of the image', 'cut off at the border', 1),
    'duplicated': Check('the same object twice', 'one left out', 2),
    'overlapping': Check('objects that cover each other', 'kept: look at them', 1),
    'empty': Check('images without any object', 'kept: they teach what is not there', 0.1),
    'same picture': Check('the same picture in several files', 'kept in one split', 0.5),
    'leak': Check('the same picture in several splits', 'kept in training only', 3),
}
OUTSIDE = 1.0  # pixels beyond the border that are rounding
SAME_OBJECT, COVERED = 0.95, 0.7  # IoU
SAME_PICTURE = 0.998  # correlation of two thumbnails
CHUNK = 1024


def check_labels(labels: Labels) -> list[Problem]:
    """Finds and mends what is wrong; the data set is changed.

    Args:
        labels: The data set.

    Returns:
        What was wrong, with what the reader had found.
    """
    problems = list(labels.problems)
    for image in labels.images:
        if labels.kind == 'semantic':
            problems += _check_map(image, labels)
        else:
            problems += _check_objects(image, labels)
    for group in groups_of_same_pictures(labels.images):
        problems += _check_same(group, labels)
    return problems


def _check_objects(image: Image, labels: Labels) -> list[Problem]:
    problems, kept = [], []
    for item in image.objects:
        if item.name not in labels.classes:
            problems.append(Problem('wrong class', image.name, f'{item.name!r}', (item.box,)))
            continue
        cut = _inside(item, image.size)
        if max(abs(a - b) for a, b in zip(cut.box, item.box, strict=True)) > OUTSIDE:
            box = ', '.join(f'{value:.0f}' for value in item.box)
            problems.append(Problem('out of image', image.name, f'{item.name!r}: {box} of {image.size}', (item.box,)))
        if cut.area <= 0 or cut.box[2] <= cut.box[0] or cut.box[3] <= cut.box[1]:
            problems.append(Problem('zero area', image.name, f'{item.name!r}', (item.box,)))
            continue
        kept.append(cut)
    twice = set()
    for i, j, iou in _pairs(kept):
        boxes = (kept[i].box, kept[j].box)
        if iou > SAME_OBJECT and kept[i].name == kept[j].name:
            twice.add(j)
            problems.append(Problem('duplicated', image.name, f'{kept[i].name!r}, IoU {iou:.2f}', boxes))
        else:
            names = f'{kept[i].name!r} and {kept[j].name!r}, IoU {iou:.2f}'
            problems.append(Problem('overlapping', image.name, names, boxes))
    image.objects = [item for i, item in enumerate(kept) if i not in twice]
    if not image.objects:
        problems.append(Problem('empty', image.name, 'no object'))
    return problems


def _inside(item: Object, size: tuple[int, int]) -> Object:
    """The object with its box cut off at the border. A mask is of the image's size already."""
    x1, y1, x2, y2 = item.box
    width, height = size
    box = (min(max(x1, 0.0), width), min(max(y1, 0.0), height), max(min(x2, width), 0.0), max(min(y2, height), 0.0))
    return replace(item, box=tuple(map(float, box)))


def _pairs(objects: list[Object]) -> list[tuple[int, int, float]]:
    """Pairs of objects that cover each other, with their IoU."""
    single = [(i, item) for i, item in enumerate(objects) if not item.crowd]
    if len(single) < 2:
        return []
    if single[0][1].mask is not None:
        codes = [dict(item.mask) for _, item in single]
    else:
        boxes = np.array([item.box for _, item in single], np.float64)
        codes = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    ious = np.triu(np.asarray(coco_mask.iou(codes, codes, [0] * len(single))), k=1)
    return [(single[i][0], single[j][0], float(ious[i, j])) for i, j in np.argwhere(ious > COVERED)]


def _check_map(image: Image, labels: Labels) -> list[Problem]:
    values = np.unique(open_map(image.class_map)).tolist()
    known = [labels.values.get(value, value) for value in values]
    wrong = [value for value in known if value >= len(labels.classes) and value != 255]
    problems = []
    if wrong:
        detail = f'value {wrong[0]}' + (f' and {len(wrong) - 1} more' if len(wrong) > 1 else '')
        problems.append(Problem('wrong class', image.name, f'{detail}, the list has {len(labels.classes)}'))
    if not any(value < len(labels.classes) for value in known):
        problems.append(Problem('empty', image.name, 'no pixel has a class'))
    return problems


def groups_of_same_pictures(images: list[Image]) -> list[list[Image]]:
    """Groups of two or more images that show the same: equal files, and copies in another size or compression."""
    if len(images) < 2:
        return []
    thumbnails = np.stack([image.thumbnail.ravel() for image in images])
    thumbnails = thumbnails - thumbnails.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(thumbnails, axis=1, keepdims=True)
    flat = norms[:, 0] < 1e-3  # one colour: correlated with nothing
    thumbnails = np.where(norms > 1e-3, thumbnails / np.maximum(norms, 1e-3), 0)
    parent = list(range(len(images)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for start in range(0, len(images), CHUNK):
        for i, j in np.argwhere(thumbnails[start : start + CHUNK] @ thumbnails.T > SAME_PICTURE):
            parent[root(start + int(i))] = root(int(j))
    by_content: dict[str, int] = {}
    for i in np.flatnonzero(flat).tolist():
        digest = hashlib.sha256(images[i].path.read_bytes()).hexdigest()
        parent[root(i)] = root(by_content.setdefault(digest, i))
    groups = defaultdict(list)
    for i, image in enumerate(images):
        groups[root(i)].append(image)
    return [group for group in groups.values() if len(group) > 1]


def _check_same(group: list[Image], labels: Labels) -> list[Problem]:
    """Where the folder has splits, the copies in all but the first of them are taken out."""
    names = ', '.join(image.name for image in group[:4])
    splits = [split for split in SPLITS if any(image.split == split for image in group)]
    kept = [image for image in group if len(splits) < 2 or image.split in (splits[0], None)]
    leaked = [image for image in group if image not in kept]
    labels.images = [image for image in labels.images if image not in leaked]
    problems = [Problem('leak', image.name, f'it is in {splits[0]} as well: {names}') for image in leaked]
    if len(kept) > 1:
        problems.append(Problem('same picture', kept[0].name, ', '.join(image.name for image in kept[:4])))
    return problems
