"""Predictions of several models on the same test images, side by side with the ground truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mmcv
import numpy as np

from .agreement import compare_scenes
from .features import affinity_colours, aligned, principal_components, recorded_features, similarity_to, to_colours
from .models import ComparedModel, OpenModel
from .point_masks import draw_map
from .scene import Scene, depth_range, draw_scene, ground_truth, predicted_scene
from .side_by_side import save_rows
from .trained import spread_indices

__all__ = ['Comparison', 'ComparedModel', 'compare_models']


@dataclass
class Comparison:
    """What was drawn.

    Attributes:
        files: The pictures, one an image.
        agreement: Of each student, how many objects or pixels are of each kind of agreement with the teacher.
    """

    files: list[Path] = field(default_factory=list)
    agreement: dict[str, Counter] = field(default_factory=dict)


def compare_models(
    models: Sequence[ComparedModel],
    folder: str | Path,
    number: int = 8,
    score_thr: float = 0.5,
    device: str = 'cpu',
    teacher: str | None = None,
    features: str | None = None,
    level: int = 0,
) -> Comparison:
    """Draws the predictions of detection, segmentation, instance segmentation or depth models.

    Every model sees the images through its own ``test_dataloader.dataset``; these must be of the same images in the
    same order. Which kind of picture it is follows from what the models predict.

    Args:
        models: From left to right.
        folder: Where the pictures go.
        number: How many images, spread evenly over the test set.
        score_thr: Objects with a higher score are drawn.
        device: Where the models run.
        teacher: The title of one of them: a second row shows where each of the others follows it
            (:func:`~mmkd.visualization.agreement.compare_scenes`).
        features: A layer that all of them have, such as 'neck': further rows show its principal components, those of
            its affinities, and what resembles one place, marked by a cross.
        level: Which of the layer's maps.

    Returns:
        What was drawn.

    Raises:
        ValueError: No models were given, a checkpoint does not fit, or the data sets differ.
    """
    titles = [model.title for model in models]
    if not models:
        raise ValueError('models: none were given')
    if teacher is not None and teacher not in titles:
        raise ValueError(f'--teacher: {teacher!r} is no title of a model, they are {", ".join(map(repr, titles))}')
    columns = []
    for model in models:  # one after the other: only one is in memory at a time
        loaded = model.open(device)
        columns.append([_look(loaded, index, features, level) for index in spread_indices(loaded.dataset, number)])
    made = Comparison()
    for looks in zip(*columns, strict=True):
        paths = [look.path for look in looks]
        if any(path.name != paths[0].name for path in paths):
            raise ValueError(f'test_dataloader.dataset: the models have different images, {paths[0]} and {paths[-1]}')
        rows = _rows(titles, looks, score_thr, teacher, made.agreement)
        made.files.append(Path(folder, f'{paths[0].stem}.png'))
        save_rows(rows, made.files[-1])
    return made


@dataclass(frozen=True)
class _Look:
    """What one model sees of one image."""

    path: Path
    sample: Any
    info: dict
    palette: Any
    features: Any


def _look(model: OpenModel, index: int, layer: str | None, level: int) -> _Look:
    samples = []
    maps = None
    if layer is None:
        samples.append(model.predict(index))
    else:
        maps = recorded_features(model.network, layer, level, lambda: samples.append(model.predict(index))).cpu()
    info = model.dataset.get_data_info(index)
    return _Look(Path(samples[0].img_path), samples[0], info, model.dataset.metainfo.get('palette'), maps)


def _rows(titles: list[str], looks: Sequence[_Look], score_thr: float, teacher: str | None, counts: dict) -> list:
    image = mmcv.imread(str(looks[0].path), channel_order='rgb')
    truth = ground_truth(looks[0].sample, looks[0].info, image.shape[:2])
    scenes = [predicted_scene(look.sample, score_thr) for look in looks]
    depths, palette = depth_range(truth, scenes), looks[0].palette
    first = [('image', image)]
    if truth is not None:
        first.append(('ground truth', draw_scene(image, truth, palette, depths)))
    before = [None] * len(first)
    drawn = [draw_scene(image, scene, look.palette, depths) for scene, look in zip(scenes, looks, strict=True)]
    rows = [first + list(zip(titles, drawn, strict=True))]
    if teacher is not None:
        rows.append(before + _agreement_row(titles, scenes, image, truth, teacher, counts))
    if looks[0].features is not None:
        rows += [before + row for row in _feature_rows(titles, [look.features for look in looks], image, truth)]
    return rows


def _agreement_row(
    titles: list[str], scenes: list[Scene], image, truth: Scene | None, teacher: str, counts: dict
) -> list:
    row = []
    for title, scene in zip(titles, scenes, strict=True):
        if title == teacher:
            row.append(None)
            continue
        picture, found = compare_scenes(image, scenes[titles.index(teacher)], scene, truth)
        counts.setdefault(title, Counter()).update(found)
        row.append((f'{title} / {teacher}', picture))
    return row


def _feature_rows(titles: list[str], maps: list, image: np.ndarray, truth: Scene | None) -> list[list]:
    place, size = _place_of_interest(truth, image.shape[:2]), image.shape[:2]
    rows: list[list] = [[], [], []]
    components = [principal_components(one).float() for one in maps]
    affinities = [affinity_colours(one).float() for one in maps]
    for i, title in enumerate(titles):
        rows[0].append((f'{title}: features', to_colours(aligned(components[i], components[0]), size)))
        rows[1].append((f'{title}: affinities', to_colours(aligned(affinities[i], affinities[0]), size)))
        like = similarity_to(maps[i], place)
        resized = np.clip(mmcv.imresize((like + 1) / 2, size[::-1]), 0, 1)
        rows[2].append((f'{title}: like the cross', _with_cross(draw_map(image, resized), place)))
    return rows


def _place_of_interest(truth: Scene | None, shape: tuple[int, int]) -> tuple[float, float]:
    """The middle of the largest object, or of the image."""
    if truth is None or truth.boxes is None or not len(truth.boxes):
        return 0.5, 0.5
    x1, y1, x2, y2 = max(truth.boxes.tolist(), key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))
    return (x1 + x2) / 2 / shape[1], (y1 + y2) / 2 / shape[0]


def _with_cross(picture: np.ndarray, place: tuple[float, float]) -> np.ndarray:
    import cv2

    height, width = picture.shape[:2]
    arm = max(height, width) // 20
    centre = (int(place[0] * width), int(place[1] * height))
    for colour, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        picture = cv2.drawMarker(np.ascontiguousarray(picture), centre, colour, cv2.MARKER_CROSS, arm, thickness)
    return picture
