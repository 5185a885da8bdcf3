"""What a COCO-style annotation file says, read once without keeping it, and what is wrong with it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator
from numbers import Integral, Real

from .json_stream import stream_arrays

__all__ = ['CocoSummary', 'mask_problems', 'object_problems', 'object_warnings']

IMAGE_KEYS = ('id', 'file_name', 'width', 'height')
OBJECT_KEYS = ('id', 'image_id', 'category_id', 'bbox', 'area')
USED, CROWD = 'used', 'crowd'


class CocoSummary:
    """Counts over an annotation file, by category; of its objects nothing but their ids is kept, and those only here.

    Args:
        path: The annotation file.
        min_size: Images with a shorter side below this are going to be left out (``filter_cfg.min_size``), in pixels.

    Attributes:
        first_image: Name of the first image's file, or None.
        has_annotations: Whether there is a list of objects at all; COCO's files of test images have none.
        categories: Names by id.
        num_images: Number of images, and of objects in ``num_objects``.
        objects: Number of objects by (category id, what becomes of them): used, crowd, or why they are left out.
        masks: Number of objects by (category id, kind of mask): polygon, RLE, or what is wrong with it.
        examples: The first object or image of each kind of fault or mask, in words.
        faults: What no reader can make sense of, as messages; the first of each kind.

    Raises:
        ValueError: The file is no JSON object, or a list that it must have is none; says where.
    """

    def __init__(self, path: str, min_size: int = 0):
        self.path, self.min_size = path, min_size
        self.first_image, self.categories = None, {}
        self.num_images = self.num_objects = self.num_small = 0
        self.objects, self.masks, self.examples, self._faults = Counter(), Counter(), {}, {}
        self._images, self._object_ids, self._early = {}, set(), []
        self._read()
        del self._images, self._object_ids, self._early

    @property
    def faults(self) -> list[str]:
        return [
            f'{self.path}: {first}' + (f'; {number} like that' if number > 1 else '')
            for first, number in self._faults.values()
        ]

    def _fault(self, kind: str, message: str) -> None:
        first, number = self._faults.get(kind, (message, 0))
        self._faults[kind] = first, number + 1

    def _read(self) -> None:
        takers = dict(images=self._take_image, annotations=self._take_object, categories=self._take_category)
        seen = set()
        for key, element in stream_arrays(self.path, takers):
            seen.add(key)
            if isinstance(element, dict):
                takers[key](element)
            elif element != []:
                raise ValueError(f'{key!r} was expected to be a list of dicts, but there is {_short(element)}')
        missing = [key for key in takers if key not in seen]
        self.has_annotations = 'annotations' in seen
        if missing and missing != ['annotations']:
            raise ValueError(f'it has no {missing[0]!r}; images, annotations and categories were expected, as in COCO')
        for early in self._early:
            self._place(*early)

    # ---- one element ----

    def _take_category(self, category: dict) -> None:
        if not _has(category, ('id', 'name')):
            self._fault('category', f"a category has no 'id' or no 'name': {_short(category)}")
        elif category['id'] in self.categories:
            self._fault('category id', f'two categories have the id {category["id"]!r}')
        else:
            self.categories[category['id']] = category['name']

    def _take_image(self, image: dict) -> None:
        self.num_images += 1
        missing = [key for key in IMAGE_KEYS if image.get(key) is None]
        if missing:
            self._fault('image key', f'the image {_short(image)} has no {missing[0]!r}')
            return
        name, width, height = image['file_name'], image['width'], image['height']
        if image['id'] in self._images:
            self._fault('image id', f'two images have the id {image["id"]!r}, the second is {name!r}')
        elif not all(isinstance(side, Real) and side >= 1 for side in (width, height)):
            self._fault('image size', f'the image {name!r} is {width!r} wide and {height!r} high')
        else:
            self._images[image['id']] = name, width, height
            self.num_small += min(width, height) < self.min_size
            self.first_image = self.first_image or name

    def _take_object(self, item: dict) -> None:
        self.num_objects += 1
        missing = [key for key in OBJECT_KEYS if item.get(key) is None]
        if missing:
            self._fault('object key', f'annotation {item.get("id", _short(item))!r} has no {missing[0]!r}')
            return
        for key in ('id', 'image_id', 'category_id'):
            if not isinstance(item[key], (Integral, str)):
                self._fault(
                    key, f'annotation {item["id"]!r}: {key} is {_short(item[key])}, a whole number was expected'
                )
                return
        if item['id'] in self._object_ids:
            self._fault('object id', f'two annotations have the id {item["id"]!r}')
            return
        self._object_ids.add(item['id'])
        box = item['bbox']
        if not (isinstance(box, list) and len(box) == 4 and all(map(_is_finite, box))):
            expected = 'four finite numbers x, y, width, height were expected'
            self._fault('bbox', f'annotation {item["id"]!r}: bbox is {_short(box)}, {expected}')
            return
        entry = item['id'], item['image_id'], item['category_id'], box, item['area'], _flags(item), _mask_kind(item)
        self._place(*entry) if item['image_id'] in self._images else self._early.append(entry)

    def _place(self, object_id, image_id, category, box, area, flags: str, mask: tuple) -> None:
        """Counts an object, once its image is known."""
        fate = flags
        if image_id not in self._images:
            fate = 'an image_id that no image has'
        elif flags in (USED, CROWD):
            fate = self._box_fate(image_id, box, area) or flags
        self.objects[category, fate] += 1
        self.examples.setdefault(fate, f'annotation {object_id!r}')
        if fate in (USED, CROWD):
            kind = self._mask_size_fault(image_id, mask) or mask[0]
            self.masks[category, fate, kind] += 1
            name = self._images[image_id][0]
            self.examples.setdefault((fate, kind), f'annotation {object_id!r} of image {name!r}')

    def _box_fate(self, image_id, box: list, area) -> str | None:
        """Why mmdet leaves an object out, without saying so."""
        _, image_width, image_height = self._images[image_id]
        x, y, width, height = box
        if width < 1 or height < 1 or not _is_finite(area) or area <= 0:
            return 'a box of no area'
        if x >= image_width or y >= image_height or x + width <= 0 or y + height <= 0:
            return 'a box outside of its image'
        return 'an image below filter_cfg.min_size' if min(image_width, image_height) < self.min_size else None

    def _mask_size_fault(self, image_id, mask: tuple) -> str | None:
        kind, size = mask
        _, width, height = self._images[image_id]
        if kind == 'RLE' and tuple(size) != (height, width):
            return f'an RLE mask of size {list(size)} where the image has height and width {[height, width]}'
        return None


def _has(item: dict, keys: tuple) -> bool:
    return all(item.get(key) is not None for key in keys)


def _short(value) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f'{text[:77]}...'


def _is_finite(value) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _flags(item: dict) -> str:
    return "'ignore' set" if item.get('ignore') else CROWD if item.get('iscrowd') else USED


def _mask_kind(item: dict) -> tuple[str, object]:
    """The kind of an object's mask, and the size that a run-length code says."""
    mask = item.get('segmentation')
    if not mask:
        return 'no mask', None
    if isinstance(mask, dict):
        size = mask.get('size')
        well = isinstance(mask.get('counts'), (str, list)) and isinstance(size, list) and len(size) == 2
        return ('RLE', size) if well and all(isinstance(n, Integral) for n in size) else ('a broken RLE mask', None)
    if not isinstance(mask, list) or not all(isinstance(polygon, list) for polygon in mask):
        return 'a mask that is neither polygons nor RLE', None
    if not all(_is_finite(value) for polygon in mask for value in polygon):
        return 'a polygon with a coordinate that is no finite number', None
    if not any(len(polygon) >= 6 and len(polygon) % 2 == 0 for polygon in mask):
        return 'a polygon of fewer than three points', None
    return 'polygon', None


# ---- what a data set makes of it -------------------------------------------------------------------------------------


def object_problems(summary: CocoSummary, names: Collection[str] | None) -> Iterator[str]:
    """Why a training would see no object, if it would see none; crowds alone are legal.

    Args:
        summary: Of the annotation file.
        names: The classes of the data set; None for all categories.
    """
    path, fates = summary.path, _fates(summary, names)
    if not summary.num_images:
        yield f'{path}: there are no images in it'
    elif not summary.has_annotations:
        yield f"{path}: it has no 'annotations'; images, annotations and categories were expected, as in COCO"
    elif not summary.num_objects:
        yield f'{path}: there are no objects in it: a training would learn nothing from its {summary.num_images} images'
    elif summary.num_small == summary.num_images:
        yield f'{path}: all {summary.num_images} images have a side below filter_cfg.min_size={summary.min_size} pixels'
    elif not fates[USED] and not fates[CROWD] and not summary._faults:
        reasons = ', '.join(f'{number} have {fate} (first {summary.examples[fate]})' for fate, number in fates.items())
        yield f'{path}: none of its {summary.num_objects} objects can be used: {reasons}'


def object_warnings(summary: CocoSummary, names: Collection[str] | None) -> Iterator[str]:
    """What is legal, and rarely meant."""
    fates = _fates(summary, names)
    if fates[CROWD] and not fates[USED]:
        yield f'{summary.path}: all {fates[CROWD]} objects are crowds (iscrowd=1), which teach a detector nothing'
    for fate, number in fates.items():
        if number and fate.startswith(('a box', 'an image_id')) and (fates[USED] or fates[CROWD]):
            first = summary.examples[fate]
            yield f'{summary.path}: {number} of {summary.num_objects} objects are left out: {fate} (first {first})'


def _fates(summary: CocoSummary, names: Collection[str] | None) -> Counter:
    """Number of objects by what becomes of them in a data set of the classes ``names``."""
    fates = Counter()
    for (category, fate), number in summary.objects.items():
        if category not in summary.categories:
            fate = 'a category_id that no category has'
            summary.examples.setdefault(fate, f'category_id {category!r}')
        elif names is not None and summary.categories[category] not in names:
            fate = 'a category that is not among the classes'
            summary.examples.setdefault(fate, f'category {summary.categories[category]!r}')
        fates[fate] += number
    return fates


def mask_problems(summary: CocoSummary, names: Collection[str] | None, key: str, keeps_polygons: bool) -> Iterator[str]:
    """What keeps masks from being loaded, or has them ignored without a word.

    Args:
        summary: Of the annotation file.
        names: The classes of the data set; None for all categories.
        key: The config key of the step that loads masks.
        keeps_polygons: Whether that step has ``poly2mask=False``, with which mmdet ignores every run-length mask.
    """
    number = Counter()
    for (category, fate, kind), count in summary.masks.items():
        known = category in summary.categories and (names is None or summary.categories[category] in names)
        # crowds are run-length coded in COCO, and ignored on purpose; but mmdet wants a mask of them too
        if known and (fate == USED or kind == 'no mask'):
            number[fate, kind] += count
    total = sum(number.values())
    for (fate, kind), count in number.items():
        first = summary.examples[fate, kind]
        if kind == 'RLE' and keeps_polygons:
            yield (
                f'{key}.poly2mask=False, but {count} of {total} objects of {summary.path!r} have run-length masks, '
                f'which would be ignored; set {key}.poly2mask=True, or {key}.type=mmkd.LoadInstanceAnnotations, which '
                'takes both'
            )
        elif kind not in ('RLE', 'polygon'):
            yield f'{summary.path}: {count} of {total} objects have {kind} (first {first}), and {key} loads masks'
