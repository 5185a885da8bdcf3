"""The user's folder: what is in it, and which image a label file means. Nothing in it is ever written."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Collection
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image as PILImage
from PIL import ImageOps

from mmkd.utils.files import IMAGE_SUFFIXES

from .records import Image, Problem, split_in

__all__ = ['Folder']

THUMBNAIL = (32, 32)


class Folder:
    """The files below a folder, by their suffix.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path):
        self.root = root.resolve()
        self.files: dict[str, list[Path]] = defaultdict(list)
        for path in sorted(self.root.rglob('*')):
            if path.is_file() and not any(part.startswith('.') for part in path.relative_to(self.root).parts):
                self.files[path.suffix.lower()].append(path)
        self.pictures = sorted(path for suffix in IMAGE_SUFFIXES for path in self.files[suffix])
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        for path in self.pictures:
            self._by_name[path.name].append(path)
            self._by_stem[path.stem].append(path)

    def name_of(self, path: Path) -> str:
        """A path below the folder, with ``/``."""
        return path.relative_to(self.root).as_posix()

    @cached_property
    def json_kinds(self) -> dict[Path, str]:
        """What each JSON file is: 'coco', 'labelme', 'broken', or '' for anything else."""
        kinds = {}
        for path in self.files['.json']:
            try:
                content = json.loads(path.read_bytes())
            except ValueError:  # of which an undecodable text is a kind
                kinds[path] = 'broken'
                continue
            keys = set(content) if isinstance(content, dict) else set()
            kinds[path] = 'coco' if {'images', 'annotations'} <= keys else 'labelme' if 'shapes' in keys else ''
        return kinds

    def json_files(self, kind: str) -> list[Path]:
        """The JSON files of a kind."""
        return [path for path, found in self.json_kinds.items() if found == kind]

    def find(self, name: str, beside: Path, whole_name: bool = True, but: Collection[Path] = ()) -> Path | None:
        """The image that a label file means.

        Args:
            name: What it calls the image: a path, which may be of another machine, or with ``whole_name=False`` the
                path without its suffix.
            beside: The label file.
            whole_name: Whether ``name`` has its suffix.
            but: Pictures that are labels themselves.

        Returns:
            The one whose path has most in common with ``name`` and then with ``beside``; None where no image has the
            name, or two have it that are equally near.
        """
        wanted = PurePosixPath(name.replace('\\', '/'))
        candidates = (self._by_name if whole_name else self._by_stem).get(wanted.name, [])
        candidates = [path for path in candidates if path not in but]
        ranked = sorted(((_nearness(path, wanted, beside), path) for path in candidates), reverse=True)
        if not ranked or (len(ranked) > 1 and ranked[0][0] == ranked[1][0]):
            return None
        return ranked[0][1]

    def open(self, path: Path, split: str | None = None) -> Image | Problem:
        """Reads an image: its size as training will see it, and its thumbnail.

        Args:
            path: The file.
            split: The split it belongs to; by default what its path says.

        Returns:
            The image, or a problem where the file is damaged.
        """
        try:
            with PILImage.open(path) as picture:
                picture = ImageOps.exif_transpose(picture)  # as OpenCV does when a training reads it
                thumbnail = np.asarray(picture.convert('L').resize(THUMBNAIL, PILImage.BOX), np.float32)
                size = picture.size
        except (OSError, ValueError, SyntaxError) as error:  # of which PIL's own errors are kinds
            return Problem('unreadable', self.name_of(path), f'the image cannot be read: {error}')
        name = self.name_of(path)
        return Image(path, name, size, split=split or split_in(name), thumbnail=thumbnail)


def _nearness(path: Path, wanted: PurePosixPath, beside: Path) -> tuple[int, int, int]:
    """How many of the last folders of ``wanted`` a path has, and how close it is to the label file."""
    same = _in_common(path.parts[-2::-1], wanted.parts[-2::-1])
    return same, int(split_in(path.as_posix()) == split_in(beside.as_posix())), _in_common(path.parts, beside.parts)


def _in_common(first: tuple[str, ...], second: tuple[str, ...]) -> int:
    return len(os.path.commonprefix([first, second]))
