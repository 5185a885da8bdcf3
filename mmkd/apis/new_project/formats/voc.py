"""Pascal VOC: an XML file for each image, with boxes, and polygons where the tool that wrote it has them."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..folder import Folder
from ..records import Image, Labels, Problem
from .supervised import label_files, objects_of, supervision_format

__all__ = ['finds', 'read']


def finds(folder: Folder) -> int:
    """How many such files there are."""
    return sum('<annotation' in path.read_text(errors='replace')[:1000] for path in folder.files['.xml'])


def read(folder: Folder, options: argparse.Namespace) -> Labels:
    """Reads every file. ``ImageSets`` say the splits, where they are there; an image without a file has no labels."""
    labels = label_files('voc', folder, folder.files['.xml'], _read_file, options)
    splits = _image_sets(folder)
    for image in labels.images:
        image.split = splits.get(Path(image.name).stem, image.split)
    return labels


def _read_file(folder: Folder, file: Path, problems: list[Problem]) -> Image | Problem:
    from defusedxml.ElementTree import parse

    voc = supervision_format('pascal_voc')
    root = parse(file).getroot()
    name = root.findtext('filename') or ''
    path = folder.find(name, beside=file) or folder.find(file.stem, file, whole_name=False)
    if path is None:
        return Problem('no image', folder.name_of(file), f'its image {name!r} is not in the folder')
    image = folder.open(path)
    size = tuple(int(float(root.findtext(f'size/{key}') or 0)) for key in ('width', 'height'))
    if isinstance(image, Problem) or (all(size) and size != image.size):
        return image if isinstance(image, Problem) else Problem.other_size(image.name, image.size, size)
    detections, names = voc.detections_from_xml_obj(root, [], image.size)
    image.objects = objects_of(detections, names)
    return image


def _image_sets(folder: Folder) -> dict[str, str]:
    """The split of each image's name, from ``ImageSets/*/train.txt`` and its like."""
    splits = {}
    for path in folder.files['.txt']:
        if 'ImageSets' in path.parts and path.stem in ('train', 'val', 'test'):
            splits.update({line.split()[0]: path.stem for line in path.read_text().splitlines() if line.strip()})
    return splits
