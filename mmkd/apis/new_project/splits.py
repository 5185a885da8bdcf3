"""Which images are trained on and which are kept to validate with."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np

from mmkd.apis.errors import UserError

from .checks import groups_of_same_pictures
from .records import SPLITS, Image, Labels, open_map

__all__ = ['split_images']


def split_images(labels: Labels, fraction: float) -> dict[str, list[Image]]:
    """Splits a data set.

    Splits that the folder itself makes are kept. What it leaves open is drawn by the names of the images, so that it is
    the same at every run. Copies of one picture are not separated, and each class has its share of the validation
    images (the classes with fewest images first, as in iterative stratification, Sechidis et al. 2011).

    Args:
        labels: The data set.
        fraction: Of the images that are kept to validate with, where the folder does not say.

    Returns:
        The images of 'train' and 'val', and of 'test' where the folder has one.

    Raises:
        UserError: Nothing would be left to train on, or to validate with.
    """
    if not any(image.split for image in labels.images):
        _draw(labels, fraction)
    splits = {split: [image for image in labels.images if (image.split or 'train') == split] for split in SPLITS}
    if splits['train'] and not splits['val'] and splits['test']:
        splits['val'] = splits['test']
    if splits['train'] and not splits['val']:
        _draw(labels, fraction)
        splits['train'] = [image for image in labels.images if image.split == 'train']
        splits['val'] = [image for image in labels.images if image.split == 'val']
    for split in ('train', 'val'):
        if not splits[split]:
            raise UserError(
                f'folder: {len(labels.images)} images with labels, and none of them is left for {split!r}; two or more '
                'that are not the same picture were expected (--val is the fraction to validate with)'
            )
    return {split: images for split, images in splits.items() if images}


def _draw(labels: Labels, fraction: float) -> None:
    groups = groups_of_same_pictures(labels.images)
    grouped = {id(image) for group in groups for image in group}
    groups += [[image] for image in labels.images if id(image) not in grouped]
    groups.sort(key=lambda group: hashlib.sha256(group[0].name.encode()).hexdigest())
    held = [set().union(*(_classes_of(image, labels) for image in group)) for group in groups]
    counts = Counter(name for names in held for name in names)
    chosen: list[int] = []

    def keep(candidates: Sequence[int], number: int) -> None:
        for i in candidates[:number]:
            chosen.append(i)

    for name in sorted(counts, key=lambda name: (counts[name], name)):
        having = [i for i, names in enumerate(held) if name in names]
        missing = round(fraction * len(having)) - sum(i in chosen for i in having)
        keep([i for i in having if i not in chosen], max(missing, 0))
    total = min(max(round(fraction * len(groups)), 1), len(groups) - 1)
    keep([i for i in range(len(groups)) if i not in chosen], max(total - len(chosen), 0))
    for i, group in enumerate(groups):
        for image in group:
            image.split = 'val' if i in chosen else 'train'


def _classes_of(image: Image, labels: Labels) -> set[str]:
    if image.class_map is None:
        return {item.name for item in image.objects}
    values = [labels.values.get(value, value) for value in np.unique(open_map(image.class_map)).tolist()]
    return {labels.classes[value] for value in values if value < len(labels.classes)}
