"""Label maps: a PNG of the image's size for each image, with the class or the object that every pixel belongs to."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from ..folder import Folder
from ..records import Image, Labels, Object, Problem, encode_mask, open_map

__all__ = ['finds', 'read']

FOLDERS = ('mask', 'annotation', 'label', 'seg', 'gt', 'instance', 'class', 'groundtruth', 'ann')
ENDINGS = ('_mask', '_masks', '_label', '_labels', '_seg', '_gt', '_instances', '_labelIds', '_gtFine_labelIds')
SUFFIXES = ('.png', '.tif', '.tiff', '.bmp')
IGNORED = 255


def finds(folder: Folder) -> int:
    """How many such files there are."""
    return len(_maps(folder))


def read(folder: Folder, options: argparse.Namespace) -> Labels:
    """Reads every map. An image without one has no labels.

    The values are classes; they are objects of one class, 0 the background, with ``--kind instances`` or where a folder
    or a file is called so. Classes are named by ``--classes`` or ``classes.txt``.
    """
    maps = _maps(folder)
    images, problems, seen = [], [], set()
    for map_file, path in maps.items():
        image = folder.open(path)
        try:
            values = open_map(map_file)
        except ValueError as error:
            image = Problem('unreadable', folder.name_of(map_file), str(error))
        if not isinstance(image, Problem) and values.shape[::-1] != image.size:
            image = Problem.other_size(image.name, image.size, values.shape[::-1])
        if isinstance(image, Problem):
            problems.append(image)
            continue
        image.class_map = map_file
        seen.update(np.unique(values).tolist())
        images.append(image)
    used = {*maps, *maps.values()}
    problems += [
        Problem('unlabelled', folder.name_of(path), 'no label map belongs to it')
        for path in folder.pictures
        if path not in used and not _is_map(folder, path)
    ]
    kind = options.kind or ('instances' if any('instance' in path.as_posix() for path in maps) else 'semantic')
    names = options.classes or _names(folder)
    if kind == 'instances':
        return _instances(images, problems, names or ['object'])
    # 0 and 255 alone are what drawing programs write for a mask; elsewhere 255 stands for 'not labelled'
    values = {IGNORED: 1} if seen <= {0, IGNORED} and IGNORED in seen and 0 in seen else {}
    number = 2 if values else max(seen - {IGNORED}, default=0) + 1
    names = names or (['background', 'object'] if number <= 2 else [f'class_{i}' for i in range(number)])
    return Labels('masks', kind, names, images, problems, values)


def _instances(images: list[Image], problems: list[Problem], names: list[str]) -> Labels:
    """Every value above 0 is one object of the first class."""
    for image in images:
        values, image.class_map = open_map(image.class_map), None
        for value in np.unique(values[values > 0]):
            mask = values == value
            rows, columns = np.nonzero(mask)
            box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            image.objects.append(Object(names[0], tuple(map(float, box)), encode_mask(mask)))
    return Labels('masks', 'instances', names[:1], images, problems)


def _maps(folder: Folder) -> dict[Path, Path]:
    """The label maps, each with its image."""
    candidates = [path for path in folder.pictures if path.suffix.lower() in SUFFIXES and _is_map(folder, path)]
    found = {path: folder.find(_stem(path), path, whole_name=False, but=candidates) for path in candidates}
    return {path: image for path, image in found.items() if image is not None}


def _is_map(folder: Folder, path: Path) -> bool:
    folders = path.relative_to(folder.root).parts[:-1]
    return _stem(path) != path.stem or any(part.lower().startswith(FOLDERS) for part in folders)


def _stem(path: Path) -> str:
    """The image's name: that of the map without what marks it as one."""
    return next(
        (path.stem[: -len(end)] for end in sorted(ENDINGS, key=len)[::-1] if path.stem.endswith(end)), path.stem
    )


def _names(folder: Folder) -> list[str]:
    file = next((path for path in folder.files['.txt'] if path.name == 'classes.txt'), None)
    return [line.strip() for line in file.read_text().splitlines() if line.strip()] if file else []
