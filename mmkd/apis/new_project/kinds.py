"""Labels of one kind as labels of another that says less: masks as boxes, or as label maps."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image as PILImage
from pycocotools import mask as coco_mask

from mmkd.apis.errors import UserError

from .records import Image, Labels

__all__ = ['BACKGROUND', 'as_kind']

BACKGROUND = 'background'


def as_kind(labels: Labels, kind: str) -> Labels:
    """Changes labels into those of another kind.

    Args:
        labels: The labels; they are changed.
        kind: ``'boxes'`` or ``'semantic'`` for objects with masks, or the kind that they have. In label maps class 0 is
            the background, and smaller objects lie on larger ones; what is crowded is 255, without a class.

    Raises:
        UserError: They do not hold what the kind needs.
    """
    if kind == labels.kind:
        return labels
    if labels.kind != 'instances' or kind not in ('boxes', 'semantic'):
        needs = dict(instances='objects with masks', boxes='objects', semantic='label maps, or objects with masks')
        raise UserError(f'folder: its labels are of the kind {labels.kind!r}, {needs[kind]} were expected')
    if kind == 'semantic':
        numbers = {name: number for number, name in enumerate(labels.classes, 1)}
        labels.classes = (BACKGROUND, *labels.classes)
        for image in labels.images:
            image.class_map = _class_map(image, numbers)
    for image in labels.images:
        image.objects = [] if kind == 'semantic' else image.objects
        for item in image.objects:
            item.mask = None
    labels.kind = kind
    return labels


def _class_map(image: Image, numbers: dict[str, int]) -> bytes:
    width, height = image.size
    values = np.zeros((height, width), np.uint8)
    for item in sorted(image.objects, key=lambda item: (not item.crowd, -item.area)):
        values[coco_mask.decode(dict(item.mask)).astype(bool)] = 255 if item.crowd else numbers.get(item.name, 255)
    buffer = io.BytesIO()
    PILImage.fromarray(values).save(buffer, 'PNG')
    return buffer.getvalue()
