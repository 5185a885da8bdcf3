"""Where images come from: a file, a folder, a list of both, or a video."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from mmengine.utils import scandir

from mmkd.utils.errors import UserError

__all__ = ['IMAGE_SUFFIXES', 'VIDEO_SUFFIXES', 'frames_of', 'image_files', 'number_of_frames', 'read_image']

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')
VIDEO_SUFFIXES = ('.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v')


def image_files(source: str | Path) -> list[Path]:
    """The images of a folder, below it too, in order; or the one that is named.

    Raises:
        UserError: There is nothing there, or nothing that is an image.
    """
    source = Path(source)
    if source.is_file():
        if source.suffix.lower() not in IMAGE_SUFFIXES:
            raise UserError(f'{source}: expected an image ({", ".join(IMAGE_SUFFIXES)})')
        return [source]
    if not source.is_dir():
        raise UserError(f'{source} does not exist (looked for from {Path.cwd()})')
    found = scandir(source, suffix=IMAGE_SUFFIXES, recursive=True, case_sensitive=False)
    files = sorted(source / name for name in found)
    if not files:
        raise UserError(f'{source}: there is no image in it ({", ".join(IMAGE_SUFFIXES)})')
    return files


def read_image(path: str | Path) -> np.ndarray:
    """(H, W, 3) uint8, BGR.

    Raises:
        UserError: It cannot be read.
    """
    image = cv2.imread(str(path))
    if image is None:
        raise UserError(f'{path}: it cannot be read as an image')
    return image


def number_of_frames(path: str | Path) -> int:
    """Of a video, as far as it says so; 0 otherwise."""
    return max(int(cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT)), 0)


def frames_of(path: str | Path, first: int = 0) -> Iterator[np.ndarray]:
    """The frames of a video, BGR.

    Args:
        path: The video.
        first: How many are skipped.

    Raises:
        UserError: It cannot be read.
    """
    video = cv2.VideoCapture(str(path))
    if not video.isOpened():
        raise UserError(f'{path}: it cannot be read as a video')
    try:
        for _ in range(first):
            if not video.grab():
                return
        while True:
            there, frame = video.read()
            if not there:
                return
            yield frame
    finally:
        video.release()
