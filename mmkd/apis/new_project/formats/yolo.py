"""YOLO and YOLO-seg: a text file for each image, a line for each object, in fractions of the image's size."""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml

from mmkd.apis.errors import UserError

from ..folder import Folder
from ..records import SPLITS, Image, Labels, Problem, split_in
from .supervised import kind_of, objects_of, supervision_format

__all__ = ['finds', 'read']


def finds(folder: Folder) -> int:
    """How many such files there are: texts named as an image, and a list of class names."""
    return len(_label_files(folder)) if _class_file(folder) is not None else 0


def read(folder: Folder, options: argparse.Namespace) -> Labels:
    """Reads the file of every image; an image without one has no objects, as YOLO trains on it.

    Raises:
        UserError: The classes are not named.
    """
    yolo = supervision_format('yolo')
    classes, splits = _classes(folder, options), _splits(folder)
    files = {path: file for file in _label_files(folder) if (path := folder.find(file.stem, file, whole_name=False))}
    images, problems = [], []
    for path in folder.pictures:
        image = folder.open(path, next((split for root, split in splits.items() if root in path.parents), None))
        if isinstance(image, Problem):
            problems.append(image)
            continue
        lines = files[path].read_text(errors='replace').splitlines() if path in files else []
        _read_lines(yolo, lines, image, classes, problems)
        images.append(image)
    used = set(files.values())
    problems += [
        Problem('no image', folder.name_of(file), f'no image is called {file.stem!r}')
        for file in _label_files(folder)
        if file not in used
    ]
    return Labels('yolo', kind_of(images), classes, images, problems)


def _read_lines(yolo, lines: list[str], image: Image, classes: list[str], problems: list[Problem]) -> None:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            detections = yolo.yolo_annotations_to_detections([line], image.size, with_masks=len(line.split()) > 6)
        except ValueError as error:
            problems.append(Problem('unreadable', image.name, f'line {number} of its labels: {error}'))
            continue
        (class_id,) = detections.class_id
        known = 0 <= class_id < len(classes)
        names = {int(class_id): classes[class_id] if known else f'number {class_id}'}
        image.objects += objects_of(detections, names)


def _label_files(folder: Folder) -> list[Path]:
    stems = {path.stem for path in folder.pictures}
    texts = [path for path in folder.files['.txt'] if 'ImageSets' not in path.parts]
    return [path for path in texts if path.stem in stems or 'labels' in path.parts]


def _class_file(folder: Folder) -> Path | None:
    yamls = [path for suffix in ('.yaml', '.yml') for path in folder.files[suffix] if 'names' in _yaml(path)]
    return next(iter([*yamls, *(path for path in folder.files['.txt'] if path.name == 'classes.txt')]), None)


def _classes(folder: Folder, options: argparse.Namespace) -> list[str]:
    if options.classes:
        return options.classes
    file = _class_file(folder)
    if file is None:
        raise UserError(
            '--classes: the labels hold numbers, and neither data.yaml nor classes.txt names them; name them'
        )
    if file.suffix == '.txt':
        return [line.strip() for line in file.read_text().splitlines() if line.strip()]
    names = _yaml(file)['names']
    return [str(names[key]) for key in sorted(names, key=int)] if isinstance(names, dict) else [str(n) for n in names]


def _splits(folder: Folder) -> dict[Path, str]:
    """The folders that data.yaml names as splits."""
    file = _class_file(folder)
    content = _yaml(file) if file is not None and file.suffix != '.txt' else {}
    splits = {}
    for split in SPLITS:
        for name in [content[split]] if isinstance(content.get(split), str) else content.get(split) or []:
            # Roboflow writes ../train/images for the folder beside data.yaml
            for start in (file.parent / (content.get('path') or ''), file.parent, folder.root):
                for tried in (start / name, start / Path(*[part for part in Path(name).parts if part != '..'])):
                    if tried.is_dir():
                        splits.setdefault(tried.resolve(), split_in(split) or split)
    return splits


def _yaml(path: Path) -> dict:
    try:
        content = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError):
        return {}
    return content if isinstance(content, dict) else {}
