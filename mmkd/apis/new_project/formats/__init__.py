"""Readers of label formats. Each is a module with ``finds(folder)`` and ``read(folder, options)``."""

from __future__ import annotations

import argparse
from types import ModuleType

from mmkd.apis.errors import UserError
from mmkd.utils.files import IMAGE_SUFFIXES

from ..folder import Folder
from ..records import Labels, Problem
from . import coco, labelme, masks, unlabelled, voc, yolo

__all__ = ['FORMATS', 'read_labels']

FORMATS: dict[str, ModuleType] = dict(coco=coco, labelme=labelme, yolo=yolo, voc=voc, masks=masks, images=unlabelled)


def read_labels(folder: Folder, options: argparse.Namespace) -> Labels:
    """Reads a folder in the format that it has.

    Args:
        folder: The folder.
        options: Those of ``mmkd new``: ``format`` chooses where a folder has several, ``classes`` names the classes.

    Raises:
        UserError: There are no images, several formats, or labels of which not one can be read.
    """
    if not folder.pictures:
        suffixes = ', '.join(IMAGE_SUFFIXES)
        raise UserError(
            f'folder: {str(folder.root)!r} holds no images (looked for {suffixes}, also in folders below it)'
        )
    name = options.format or _only_format(folder)
    labels = FORMATS[name].read(folder, options)
    if not labels.images:
        reasons = ''.join(f'\n  {problem.name}: {problem.detail}' for problem in labels.problems[:5])
        raise UserError(f'folder: {str(folder.root)!r}, read as {name}: no image has labels that can be read{reasons}')
    if labels.kind != 'semantic' and not any(image.objects for image in labels.images):
        hint = f'; --score-thr is {options.score_thr}' if name == 'images' else ''
        raise UserError(f'folder: {str(folder.root)!r}, read as {name}: there is not one object on any image{hint}')
    if labels.kind == 'instances':
        _leave_out_boxes(labels)
    return labels


def _leave_out_boxes(labels: Labels) -> None:
    """Where other objects have masks, one that has none would be taught as its whole box."""
    for image in labels.images:
        boxes = [item for item in image.objects if item.mask is None]
        labels.problems += [
            Problem('no mask', image.name, f'{item.name!r} is a box where others have a mask', (item.box,))
            for item in boxes
        ]
        image.objects = [item for item in image.objects if item.mask is not None]


def _only_format(folder: Folder) -> str:
    found = {name: number for name, reader in FORMATS.items() if (number := reader.finds(folder))}
    if len(found) > 1:
        listed = ', '.join(f'{name} ({number} files)' for name, number in found.items())
        raise UserError(f'folder: {str(folder.root)!r} holds several formats: {listed}; choose one by --format')
    return next(iter(found), 'images')
