"""COCO: one JSON file for each split."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask

from ..folder import Folder
from ..records import Image, Labels, Object, Problem, split_in
from .supervised import kind_of

__all__ = ['finds', 'read']


def finds(folder: Folder) -> int:
    """How many such files there are."""
    return len(folder.json_files('coco'))


def read(folder: Folder, options: argparse.Namespace) -> Labels:
    """Reads every file. The categories of all of them are the classes, in the order of their ids."""
    images: dict[str, Image] = {}
    problems: list[Problem] = []
    names: dict[int, str] = {}
    for file in folder.json_files('coco'):
        content = json.loads(file.read_bytes())
        categories = {entry['id']: str(entry['name']) for entry in content.get('categories') or []}
        names.update({number: name for number, name in categories.items() if name not in names.values()})
        for image in _images_of(folder, file, content, categories, problems):
            if image.name in images:
                problems.append(
                    Problem('leak', image.name, f'it is in several files, the last is {folder.name_of(file)}')
                )
                images[image.name].objects += image.objects if image.split == images[image.name].split else []
            else:
                images[image.name] = image
    classes = options.classes or [names[number] for number in sorted(names)]
    return Labels('coco', kind_of(list(images.values())), classes, list(images.values()), problems)


def _images_of(folder: Folder, file: Path, content: dict, categories: dict, problems: list[Problem]):
    by_image: dict[Any, list[dict]] = {}
    for annotation in content['annotations']:
        by_image.setdefault(annotation.get('image_id'), []).append(annotation)
    for entry in content['images']:
        path = folder.find(str(entry.get('file_name')), beside=file)
        if path is None:
            problems.append(
                Problem('no image', str(entry.get('file_name')), f'{folder.name_of(file)} names it, it is not there')
            )
            by_image.pop(entry.get('id'), None)
            continue
        image = folder.open(path, split_in(file.name) or split_in(folder.name_of(path)))
        annotations = by_image.pop(entry.get('id'), [])
        if isinstance(image, Problem):
            problems.append(image)
            continue
        size = (entry.get('width') or image.size[0], entry.get('height') or image.size[1])
        if size != image.size:
            problems.append(Problem.other_size(image.name, image.size, size))
            continue
        for annotation in annotations:
            item = _object_of(annotation, categories, image, problems)
            if item is not None:
                image.objects.append(item)
        yield image
    for number, annotations in by_image.items():
        detail = f'{len(annotations)} objects are of image_id {number!r}, which it does not list'
        problems.append(Problem('no image', folder.name_of(file), detail))


def _object_of(annotation: dict, categories: dict, image: Image, problems: list[Problem]) -> Object | None:
    number = annotation.get('category_id')
    name = categories.get(number, f'number {number}')
    try:
        mask = _mask_of(annotation.get('segmentation'), image.size)
        if 'bbox' in annotation:
            x, y, width, height = map(float, annotation['bbox'])
        else:
            x, y, width, height = map(float, coco_mask.toBbox(mask))
    except (TypeError, ValueError, KeyError, IndexError) as error:
        problems.append(Problem('unreadable', image.name, f'annotation {annotation.get("id")}: {error}'))
        return None
    return Object(name, (x, y, x + width, y + height), mask, bool(annotation.get('iscrowd')))


def _mask_of(segmentation: Any, size: tuple[int, int]) -> dict | None:
    """A polygon, or a run-length code of either kind, as a compressed code; None without one."""
    if not segmentation:
        return None
    width, height = size
    if isinstance(segmentation, dict):
        if list(segmentation['size']) != [height, width]:
            raise ValueError(f'its mask is of size {segmentation["size"]}, the image of {[height, width]}')
        if isinstance(segmentation['counts'], str):
            return dict(segmentation)
        code = coco_mask.frPyObjects(segmentation, height, width)
    else:
        polygons = [polygon for polygon in segmentation if len(polygon) >= 6]
        if not polygons:
            raise ValueError('its polygon has fewer than three corners')
        code = coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))
    return dict(size=list(code['size']), counts=code['counts'].decode())
