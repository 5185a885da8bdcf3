"""``mmkd predict``: the results of a model on images or on a video, in a folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from mmkd.apis.export.runtime import OnnxModel
from mmkd.utils.errors import UserError

from .models import TorchModel
from .results import ResultFolder
from .sources import VIDEO_SUFFIXES, frames_of, image_files, number_of_frames, read_image

__all__ = ['predict']

VIDEO = 'video.mp4'


class _Item(NamedTuple):
    """An image to predict: what its results are called, its own name, and its number."""

    name: str
    file_name: str
    number: int


def predict(
    model: TorchModel | OnnxModel,
    source: str | Path,
    folder: str | Path,
    score_thr: float = 0.5,
    pictures: bool = True,
    made_from: Mapping | None = None,
) -> list[str]:
    """Writes what a model finds in images into a folder; those whose results are there already are skipped.

    Args:
        model: The model.
        source: An image, a folder of images, or a video.
        folder: Where the results go, see :class:`ResultFolder`.
        score_thr: Objects that score at least this are drawn.
        pictures: Whether pictures are drawn; of a video, a video as well.
        made_from: What tells the model from others. Results of one go on in a folder only where it is the same.

    Returns:
        The lines of a report.

    Raises:
        UserError: There are no images, one cannot be read, or the folder holds results of something else.
    """
    source = Path(source)
    is_video = source.suffix.lower() in VIDEO_SUFFIXES
    if not source.exists():
        raise UserError(f'{source} does not exist (looked for from {Path.cwd()})')
    made_from = dict(made_from or {}, source=str(source.resolve()), score_thr=score_thr)
    results = ResultFolder(folder, model.metadata, score_thr, pictures, made_from)
    names, done = (_of_video if is_video else _of_images)(model, source, results)
    report = [f'{len(names)} images, {done} of them predicted now: {results.folder}']
    whole = results.finish(names)
    if whole is not None:
        report.append(f'objects in COCO format: {whole}')
    if is_video and pictures:
        report.append(f'video: {_join_pictures(results, names, source)}')
    return report


def _of_images(model, source: Path, results: ResultFolder) -> tuple[list[str], int]:
    files = image_files(source)
    root = source if source.is_dir() else source.parent
    relative = [path.relative_to(root) for path in files]
    # the suffix stays where two images differ in it only
    stems = [path.with_suffix('').as_posix() for path in relative]
    names = [stem if stems.count(stem) == 1 else path.as_posix() for stem, path in zip(stems, relative, strict=True)]
    items = [_Item(name, path.as_posix(), i) for i, (name, path) in enumerate(zip(names, relative, strict=True))]
    left = [(item, path) for item, path in zip(items, files, strict=True) if not results.has(item.name)]
    for item, path in tqdm(left, unit='image', disable=None):
        _predict_one(model, read_image(path), item, results)
    return names, len(left)


def _of_video(model, source: Path, results: ResultFolder) -> tuple[list[str], int]:
    names, done = [], 0
    frames: Iterator[np.ndarray] = frames_of(source)
    for i, frame in enumerate(tqdm(frames, total=number_of_frames(source) or None, unit='frame', disable=None)):
        item = _Item(f'{i:06d}', f'{source.name}#{i}', i)
        names.append(item.name)
        if not results.has(item.name):
            _predict_one(model, frame, item, results)
            done += 1
    if not names:
        raise UserError(f'{source}: there is no frame in it that can be read')
    return names, done


def _predict_one(model, image: np.ndarray, item: _Item, results: ResultFolder) -> None:
    found = model.predict(image, colour='bgr')
    results.write(item.name, item.file_name, item.number, image, found)


def _join_pictures(results: ResultFolder, names: list[str], source: Path) -> Path:
    """The pictures of all frames as a video, at the speed of the source."""
    path = results.folder / VIDEO
    rate = cv2.VideoCapture(str(source)).get(cv2.CAP_PROP_FPS) or 25.0
    first = read_image(results.folder / 'pictures' / f'{names[0]}.jpg')
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), rate, first.shape[1::-1])
    try:
        for name in names:
            writer.write(read_image(results.folder / 'pictures' / f'{name}.jpg'))
    finally:
        writer.release()
    return path
