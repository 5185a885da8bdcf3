"""The data set as MMDetection and MMSegmentation read it; the images stay where they are."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image as PILImage
from pycocotools import mask as coco_mask

from .records import Image, Labels, open_map

__all__ = ['write_annotations']

IGNORED = 255


def write_annotations(labels: Labels, splits: dict[str, list[Image]], folder: Path) -> None:
    """Writes ``instances_<split>.json``; of label maps ``<split>.txt`` and ``labels/<image>.png``.

    Args:
        labels: The data set.
        splits: Its images.
        folder: Where to; empty.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for split, images in splits.items():
        if labels.kind == 'semantic':
            (folder / f'{split}.txt').write_text(''.join(f'{image.name}\n' for image in images))
            for image in images:
                _write_map(image, labels, folder / 'labels' / f'{image.name}.png')
        else:
            (folder / f'instances_{split}.json').write_text(json.dumps(_coco(labels, images)))


def _coco(labels: Labels, images: list[Image]) -> dict:
    number_of = {name: i for i, name in enumerate(labels.classes, 1)}
    annotations = []
    for image_id, image in enumerate(images, 1):
        for item in image.objects:
            x1, y1, x2, y2 = item.box if item.mask is None else _box_of(item.mask)
            entry = dict(
                id=len(annotations) + 1,
                image_id=image_id,
                category_id=number_of[item.name],
                bbox=[round(value, 2) for value in (x1, y1, x2 - x1, y2 - y1)],
                area=item.area,
                iscrowd=int(item.crowd),
            )
            annotations.append(entry if item.mask is None else dict(entry, segmentation=item.mask))
    return dict(
        images=[
            dict(id=i, file_name=image.name, width=image.size[0], height=image.size[1])
            for i, image in enumerate(images, 1)
        ],
        annotations=annotations,
        categories=[dict(id=number, name=name) for name, number in number_of.items()],
    )


def _box_of(mask) -> tuple[float, float, float, float]:
    x, y, width, height = coco_mask.toBbox(dict(mask)).tolist()
    return x, y, x + width, y + height


def _write_map(image: Image, labels: Labels, path: Path) -> None:
    values = open_map(image.class_map)
    for value, number in labels.values.items():
        values[values == value] = number
    values[values >= len(labels.classes)] = IGNORED
    buffer = io.BytesIO()
    PILImage.fromarray(values.astype(np.uint8)).save(buffer, 'PNG')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())
