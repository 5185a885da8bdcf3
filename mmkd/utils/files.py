"""Files: which are images, and writing them as a whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ['IMAGE_SUFFIXES', 'written_whole']

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')  # what counts as an image in a folder


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """A path beside ``path`` to write to; what is there when the block ends is flushed to the disk and takes its place.

    Whenever the process is killed or the disk is full, ``path`` is what it was before, or new and whole. A process that
    is killed may leave ``<path>.part``, which the next one writes over.

    Args:
        path: A local file. Where it is a link, the file that it leads to is replaced.

    Raises:
        OSError: It cannot be written; names the file.
    """
    path = Path(os.path.realpath(path))
    part = path.with_name(f'{path.name}.part')
    try:
        yield part
        _flush(part)
        os.replace(part, path)
        _flush(path.parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise type(error)(error.errno, f'{error.strerror or error}, it was not written', str(path)) from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _flush(path: Path) -> None:
    """Waits until a file, or the names in a folder, would survive a power cut."""
    if path.is_dir() and os.name == 'nt':  # where folders cannot be opened
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
