"""What the readers share that stand on supervision: one label file for each image, read by its parser."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

from mmkd.apis.errors import UserError

from ..folder import Folder
from ..records import Image, Labels, Object, Problem, encode_mask

__all__ = ['kind_of', 'label_files', 'objects_of', 'supervision_format']


def supervision_format(name: str) -> ModuleType:
    """supervision's module of a format, of which the function that reads one file is used.

    Its ``DetectionDataset`` holds a mask of the image's size for each object of the whole data set, which is gigabytes
    for a few thousand images; here masks are encoded image by image.

    Raises:
        UserError: It is not installed.
    """
    try:
        return importlib.import_module(f'supervision.dataset.formats.{name}')
    except ImportError as error:
        raise UserError(f"this format is read by supervision ({error}): pip install 'mmkd[data]'") from error


def objects_of(detections, names: Sequence[str]) -> list[Object]:
    """supervision's ``Detections`` of one image as objects; ``names`` by their class ids."""
    if not len(detections):
        return []
    masks = detections.mask if detections.mask is not None else [None] * len(detections)
    return [
        Object(names[int(number)], tuple(map(float, box)), None if mask is None else encode_mask(mask))
        for number, box, mask in zip(detections.class_id, detections.xyxy, masks, strict=True)
    ]


def label_files(
    name: str,
    folder: Folder,
    files: Sequence[Path],
    read_file: Callable[[Folder, Path, list[Problem]], Image | Problem],
    options: argparse.Namespace,
) -> Labels:
    """A data set with one label file for each labelled image.

    Args:
        name: The format.
        folder: The user's folder.
        files: The label files.
        read_file: Reads one; what it raises is noted, and the file left out.
        options: With ``classes``, those that count; by default all that are found, in the order of the alphabet.
    """
    supervision_format({'voc': 'pascal_voc'}.get(name, name))  # before the files, since it may not be there
    images, problems = [], []
    for file in files:
        try:
            image = read_file(folder, file, problems)
        except (ValueError, KeyError, TypeError, AttributeError, SyntaxError) as error:  # broken XML is a SyntaxError
            image = Problem('unreadable', folder.name_of(file), f'{type(error).__name__}: {error}')
        (problems if isinstance(image, Problem) else images).append(image)
    labelled = {image.name for image in images} | {problem.name for problem in problems}
    problems += [
        Problem('unlabelled', folder.name_of(path), 'no label file belongs to it')
        for path in folder.pictures
        if folder.name_of(path) not in labelled
    ]
    classes = options.classes or sorted({item.name for image in images for item in image.objects})
    return Labels(name, kind_of(images), classes, images, problems)


def kind_of(images: Sequence[Image]) -> str:
    """Masks where any object has one."""
    return 'instances' if any(item.mask for image in images for item in image.objects) else 'boxes'
