"""The page that tells what was found in a data set: what is wrong, what is in it, and the worst images."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from PIL import Image as PILImage
from PIL import ImageOps
from pycocotools import mask as coco_mask

from mmkd.visualization.page import Picture, Section, Table, Text, write_page
from mmkd.visualization.side_by_side import draw_boxes, draw_classes, draw_instances, instance_colours

from .checks import CHECKS
from .records import Image, Labels, Problem, open_map

__all__ = ['write_data_report']

WORST = 12  # pictures of images with something wrong
SOME = 6  # pictures of images as they are
SHOWN = 8  # problems of a kind that are written out
LONGEST_SIDE = 720
RED = (255, 0, 0)


def write_data_report(created, path: Path) -> None:
    """Writes the page.

    Args:
        created: The project, a :class:`~mmkd.apis.new_project.project.Created`.
        path: The file.
    """
    labels, problems = created.labels, created.problems
    images = {image.name: image for part in created.splits.values() for image in part}
    worst = _worst(problems, images)
    some = [image for image in images.values() if image.name not in {image.name for image in worst}]
    step = max(len(some) // SOME, 1)
    sections = [
        Section('What was found', [_findings(problems)] if problems else [Text('Nothing wrong was found.')]),
        Section('The worst images', [_picture(image, labels, problems) for image in worst]),
        Section('What is in it', [_classes(labels, created.splits), *_sizes(list(images.values()))]),
        Section('Some images with their labels', [_picture(image, labels, ()) for image in some[::step][:SOME]]),
        Section('Every problem', [_all(problems)] if problems else []),
    ]
    write_page(path, f'Data of {created.folder.name}', created.summary(), sections)


def _findings(problems: list[Problem]) -> Table:
    counts = Counter(problem.check for problem in problems)
    rows = [
        (counts[kind], check.title, check.action, '; '.join(_shown(problems, kind)))
        for kind, check in CHECKS.items()
        if counts[kind]
    ]
    return Table(('number', 'what', 'what was done', 'such as'), rows)


def _shown(problems: list[Problem], kind: str) -> list[str]:
    return [f'{p.name} ({p.detail})' for p in problems if p.check == kind][:3]


def _all(problems: list[Problem]) -> Table:
    by_kind = defaultdict(list)
    for problem in problems:
        by_kind[problem.check].append(problem)
    rows = []
    for kind, found in by_kind.items():
        rows += [(CHECKS[kind].title, problem.name, problem.detail) for problem in found[:SHOWN]]
        if len(found) > SHOWN:
            rows.append((CHECKS[kind].title, f'and {len(found) - SHOWN} more', ''))
    return Table(('what', 'file', 'detail'), rows)


def _worst(problems: list[Problem], images: dict[str, Image]) -> list[Image]:
    weights = Counter()
    for problem in problems:
        weights[problem.name] += CHECKS[problem.check].weight
    return [images[name] for name, _ in weights.most_common() if name in images][:WORST]


def _classes(labels: Labels, splits: dict[str, list[Image]]) -> Table:
    """Objects and images of each class in each split; of label maps the share of the pixels."""
    counts = {split: (Counter(), Counter()) for split in splits}
    pixels = {split: sum(image.size[0] * image.size[1] for image in images) for split, images in splits.items()}
    for split, images in splits.items():
        for image in images:
            here = _count(image, labels)
            counts[split][0].update(here)
            counts[split][1].update(here.keys())
    semantic = labels.kind == 'semantic'
    header = ['class'] + [
        f'{split}: {what}' for split in splits for what in ('pixels' if semantic else 'objects', 'images')
    ]
    rows = []
    for name in labels.classes:
        row = [name]
        for split, (objects, having) in counts.items():
            row += [f'{objects[name] / pixels[split]:.2%}' if semantic else objects[name], having[name]]
        rows.append(row)
    return Table(header, rows)


def _count(image: Image, labels: Labels) -> Counter:
    if image.class_map is None:
        return Counter(item.name for item in image.objects)
    values, numbers = np.unique(open_map(image.class_map), return_counts=True)
    counts = Counter()
    for value, number in zip(values.tolist(), numbers.tolist(), strict=True):
        known = labels.values.get(value, value)
        if known < len(labels.classes):
            counts[labels.classes[known]] += number
    return counts


def _sizes(images: list[Image]) -> list[Picture]:
    """Histograms of the images and of their objects."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = [('longer side of the images, pixels', [max(image.size) for image in images])]
    if any(image.objects for image in images):
        panels.append(('objects an image', [len(image.objects) for image in images]))
        panels.append(('side of the objects, pixels', [item.area**0.5 for image in images for item in image.objects]))
    figure = Figure(figsize=(3.6 * len(panels), 2.6))
    canvas = FigureCanvasAgg(figure)
    for axis, (title, values) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        axis.hist(values, bins=24)
        axis.set_title(title, fontsize=10)
    figure.tight_layout()
    canvas.draw()
    return [Picture(np.asarray(canvas.buffer_rgba())[..., :3].copy(), 'how large the images and the objects are')]


def _picture(image: Image, labels: Labels, problems) -> Picture:
    """The image with its labels, and what is wrong in red."""
    mine = [problem for problem in problems if problem.name == image.name]
    with PILImage.open(image.path) as picture:
        pixels = np.asarray(ImageOps.exif_transpose(picture).convert('RGB'))
    if image.class_map is not None:
        values = open_map(image.class_map)
        for value, number in labels.values.items():
            values[values == value] = number
        pixels = draw_classes(pixels, values, instance_colours(len(labels.classes)))
    elif labels.kind == 'instances':
        masks = [coco_mask.decode(dict(item.mask)) for item in image.objects]
        pixels = draw_instances(pixels, np.array(masks, bool).reshape(-1, *pixels.shape[:2]))
    else:
        pixels = draw_boxes(pixels, np.array([item.box for item in image.objects]).reshape(-1, 4))
    height, width = pixels.shape[:2]
    factor = LONGEST_SIDE / max(height, width)
    resampling = PILImage.NEAREST if factor > 1 else PILImage.BOX
    size = (max(round(width * factor), 1), max(round(height * factor), 1))
    pixels = np.asarray(PILImage.fromarray(pixels).resize(size, resampling))
    boxes = np.array([box for problem in mine for box in problem.boxes]).reshape(-1, 4) * factor
    pixels = draw_boxes(pixels, boxes, RED)
    said = '; '.join(f'{CHECKS[problem.check].title} ({problem.detail})' for problem in mine[:4])
    return Picture(pixels, f'{image.name}: {said}' if said else image.name)
