"""What the reader of each format gives: images, the objects on them or their class map, and what was wrong."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image as PILImage
from pycocotools import mask as coco_mask

__all__ = ['Image', 'Labels', 'Object', 'Problem', 'SPLITS', 'encode_mask', 'open_map', 'split_in']

SPLITS = ('train', 'val', 'test')
SPLIT_NAMES = dict(
    train='train', training='train', val='val', valid='val', validation='val', test='test', testing='test'
)


@dataclass(eq=False)
class Object:
    """One labelled object.

    Attributes:
        name: Its class, as the labels call it; of a number that no class has, the number.
        box: x1, y1, x2, y2 in pixels, as labelled: it may stick out of the image.
        mask: A compressed run-length code of the image's size, or None where the labels are boxes.
        crowd: Whether it is a group that no detector has to find (COCO's ``iscrowd``).
    """

    name: str
    box: tuple[float, float, float, float]
    mask: Mapping | None = None
    crowd: bool = False

    @property
    def area(self) -> float:
        """Pixels of the mask, or of the box."""
        if self.mask is not None:
            return float(coco_mask.area(dict(self.mask)))
        x1, y1, x2, y2 = self.box
        return max(x2 - x1, 0.0) * max(y2 - y1, 0.0)


@dataclass(eq=False)
class Image:
    """One image.

    Attributes:
        path: The file.
        name: Its path below the user's folder.
        size: Width and height.
        objects: What is labelled on it.
        class_map: A PNG with the class of every pixel, in place of objects: the user's file, or the bytes of one.
        split: The one that the folder puts it in; None where it does not say.
        thumbnail: Its brightness at 32 x 32, to recognise the same picture in another file.
    """

    path: Path
    name: str
    size: tuple[int, int]
    objects: list[Object] = field(default_factory=list)
    class_map: Path | bytes | None = None
    split: str | None = None
    thumbnail: np.ndarray | None = None


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with the labels.

    Attributes:
        check: Its kind, a key of :data:`mmkd.apis.new_project.checks.CHECKS`.
        name: The file.
        detail: What exactly.
        boxes: Where in the image, if anywhere: x1, y1, x2, y2 each.
    """

    check: str
    name: str
    detail: str
    boxes: tuple[tuple[float, float, float, float], ...] = ()

    @classmethod
    def other_size(cls, name: str, size: tuple[int, int], labelled: tuple[int, int]) -> Problem:
        """Labels that were made on another version of the image."""
        detail = f'the image is {size[0]} x {size[1]}, its labels were made for {labelled[0]} x {labelled[1]}'
        return cls('other size', name, detail)


@dataclass(eq=False)
class Labels:
    """A data set, read.

    Attributes:
        format: The format's name.
        kind: 'instances' (masks), 'boxes' or 'semantic'.
        classes: The names, in the order of their numbers.
        images: The images that have labels.
        problems: What could not be read.
        values: Of label maps: value of a pixel to class, where they differ.
    """

    format: str
    kind: str
    classes: Sequence[str]
    images: list[Image]
    problems: list[Problem] = field(default_factory=list)
    values: Mapping[int, int] = field(default_factory=dict)


def open_map(source: Path | bytes) -> np.ndarray:
    """The values (H, W) of a label map.

    Raises:
        ValueError: Its pixels are colours, or it is no picture.
    """
    try:
        with PILImage.open(io.BytesIO(source) if isinstance(source, bytes) else source) as picture:
            values = np.asarray(picture)
    except OSError as error:
        raise ValueError(f'the label map cannot be read: {error}') from error
    if values.ndim == 3:
        raise ValueError('the label map is in colour; numbers were expected, in a grey or palette PNG')
    return values.astype(np.int64)


def encode_mask(mask: np.ndarray) -> dict:
    """A mask (H, W) as COCO's compressed run-length code, with text in it, which JSON can hold."""
    code = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return dict(size=list(code['size']), counts=code['counts'].decode())


def split_in(name: str) -> str | None:
    """The split that a path names, in a folder (``val/``) or in the file's name (``instances_val2017.json``)."""
    for part in reversed(Path(name).parts):
        for word in Path(part).stem.lower().replace('-', '_').replace('.', '_').split('_'):
            if word.rstrip('0123456789') in SPLIT_NAMES:
                return SPLIT_NAMES[word.rstrip('0123456789')]
    return None
