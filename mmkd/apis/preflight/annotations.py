"""The annotation file of a data set: read once, in a stream, and forgotten."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from .classes import category_problems
from .coco import CocoSummary, mask_problems, object_problems, object_warnings
from .datasets import DatasetConfig, step_name

__all__ = ['annotation_problems', 'reads_as_coco']


def reads_as_coco(kind: type | None) -> bool:
    """Whether a data set's class is mmdet's ``CocoDataset`` in what it wants of its annotation file."""
    CocoDataset = getattr(sys.modules.get('mmdet.datasets'), 'CocoDataset', None)  # with a class of it, mmdet is there
    same = ('load_data_list', 'parse_data_info')
    return None not in (kind, CocoDataset) and all(
        getattr(kind, name, None) is getattr(CocoDataset, name) for name in same
    )


def annotation_problems(dataset: DatasetConfig, warn: Callable[[str], None]) -> Iterator[str]:
    """What is wrong in the COCO-style file of a data set.

    Args:
        dataset: The data set; its files are there.
        warn: Called with each message about what is legal, and rarely meant.
    """
    ann_file = dataset.ann_file
    if not ann_file or not reads_as_coco(dataset.kind):
        return
    if Path(ann_file).is_dir():
        yield f'{dataset.key}.ann_file: {ann_file!r} is a folder, a JSON file was expected'
        return
    min_size = 0 if dataset.cfg.get('test_mode') else (dataset.cfg.get('filter_cfg') or {}).get('min_size', 0)
    try:
        summary = CocoSummary(ann_file, min_size)
    except ValueError as error:  # of which broken JSON and an undecodable text are kinds
        yield f'{dataset.key}.ann_file: {ann_file}: {error}'
        return
    yield from (f'{dataset.key}.ann_file: {fault}' for fault in summary.faults)
    yield from category_problems(dataset, summary.categories.values())
    yield from _image_problems(dataset, summary)
    names = dataset.names
    if not dataset.labelled:
        return
    for problem in object_problems(summary, names):
        if dataset.cfg.get('test_mode'):  # a score of -1 comes of it; images to predict on have no labels
            warn(f'{dataset.key}.ann_file: {problem}')
        else:
            yield f'{dataset.key}.ann_file: {problem}'
    for warning in object_warnings(summary, names):
        warn(f'{dataset.key}.ann_file: {warning}')
    if not dataset.cfg.get('test_mode'):
        for i, step in enumerate(dataset.cfg.get('pipeline') or []):
            if step_name(step) in ('LoadAnnotations', 'LoadInstanceAnnotations') and step.get('with_mask'):
                keeps = step_name(step) == 'LoadAnnotations' and not step.get('poly2mask', True)
                yield from mask_problems(summary, names, f'{dataset.key}.pipeline.{i}', keeps)


def _image_problems(dataset: DatasetConfig, summary: CocoSummary) -> Iterator[str]:
    for name, folder in dataset.folders():
        if name == 'img' and summary.first_image is not None and not Path(folder, summary.first_image).is_file():
            yield (
                f'{dataset.key}.data_prefix.{name}: {folder!r} has no {summary.first_image!r}, the first image of '
                f'{dataset.ann_file!r}; the two do not belong together'
            )
