"""labelme: a JSON file for each image, with polygons and rectangles."""

from __future__ import annotations

import argparse
import json
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..folder import Folder
from ..records import Image, Labels, Problem
from .supervised import label_files, objects_of, supervision_format

__all__ = ['finds', 'read']


def finds(folder: Folder) -> int:
    """How many such files there are."""
    return len(folder.json_files('labelme'))


def read(folder: Folder, options: argparse.Namespace) -> Labels:
    """Reads every file. Shapes of one label and ``group_id`` are one object; an image without a file has no labels.

    Where there is a polygon anywhere, rectangles are masks, too.
    """
    files = [*folder.json_files('labelme'), *folder.json_files('broken')]
    polygons: list[Path] = []  # files that have one
    labels = label_files('labelme', folder, files, partial(_read_file, polygons=polygons), options)
    if not polygons:
        labels.kind = 'boxes'
        for image in labels.images:
            image.objects = [replace(item, mask=None) for item in image.objects]
    return labels


def _read_file(folder: Folder, file: Path, problems: list[Problem], polygons: list[Path]) -> Image | Problem:
    content = json.loads(file.read_bytes())
    path = folder.find(str(content.get('imagePath') or file.name), beside=file) or folder.find(file.stem, file, False)
    if path is None:
        return Problem('no image', folder.name_of(file), f'its image {content.get("imagePath")!r} is not in the folder')
    image = folder.open(path)
    size = tuple(content.get(key) or 0 for key in ('imageWidth', 'imageHeight'))
    if isinstance(image, Problem) or (all(size) and size != image.size):
        return image if isinstance(image, Problem) else Problem.other_size(image.name, image.size, size)
    shapes = content['shapes']
    if any(shape.get('shape_type') == 'polygon' for shape in shapes):
        polygons.append(file)
    names = sorted({str(shape.get('label')) for shape in shapes})
    with warnings.catch_warnings(record=True) as skipped:
        warnings.simplefilter('always')
        detections = supervision_format('labelme').labelme_shapes_to_detections(
            [dict(shape, label=str(shape.get('label'))) for shape in shapes],
            {name: i for i, name in enumerate(names)},
            image.size,
            with_masks=True,
        )
    problems += [Problem('unreadable', image.name, str(warning.message)) for warning in skipped]
    image.objects = objects_of(detections, names)
    return image
