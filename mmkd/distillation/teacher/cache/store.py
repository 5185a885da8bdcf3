"""A folder of safetensors files with tensors by image, written by any number of processes at once."""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from mmengine.logging import print_log
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mmkd.utils.files import written_whole

__all__ = ['FORMAT', 'Store', 'digest']

FORMAT = 'mmkd-teacher-outputs-1'


def digest(tensors: Sequence[Tensor], *more: object) -> str:
    """32 hexadecimal digits of tensors (their values, shapes and types) and of whatever else is given, as text."""
    found = hashlib.blake2b(repr(more).encode(), digest_size=16)
    for tensor in tensors:
        tensor = tensor.detach().cpu().contiguous()
        found.update(f'{tensor.dtype}{tuple(tensor.shape)}'.encode())
        found.update(tensor.flatten().view(torch.uint8).numpy())
    return found.hexdigest()


class Store:
    """The shards of one teacher. Each holds the images of one batch, and says in its header what it belongs to.

    A shard has a name of its own, is written beside and renamed, and never changed: processes share a folder without
    locks, and see what another has written when they next miss an image. What is half-written, damaged or of another
    teacher is not read. Every image has a checksum, which is compared when it is read.

    Args:
        folder: Where the shards are; made when the first is written.
        identity: What made them, for the header; None to read whatever there is.

    Attributes:
        damaged: Files that cannot be read, with the reason.
    """

    def __init__(self, folder: str | Path, identity: str | None = None):
        self.folder = Path(folder)
        self.identity = identity
        self.damaged: dict[Path, str] = {}
        self._shards: dict[Path, dict[str, str]] = {}  # the headers
        self._where: dict[str, Path] = {}  # images

    def __len__(self) -> int:
        return len(self._where)

    @property
    def headers(self) -> Iterator[Mapping[str, str]]:
        """The headers of all shards."""
        return iter(self._shards.values())

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(path.stat().st_size for path in self._shards)

    def refresh(self) -> None:
        """Looks for shards that were written since."""
        for path in sorted(self.folder.glob('*.safetensors')):
            if path in self._shards or path in self.damaged:
                continue
            try:
                with safe_open(path, 'pt') as shard:
                    header = shard.metadata() or {}
            except (SafetensorError, OSError) as error:
                self._damage(path, str(error))
                continue
            if header.get('format') != FORMAT or self.identity not in (None, header.get('identity')):
                self._damage(path, f'it belongs to another teacher, or is no cache of this version ({FORMAT})')
                continue
            self._shards[path] = header
            self._where.update(dict.fromkeys(header['images'].split(), path))

    def _damage(self, path: Path, reason: str) -> None:
        self.damaged[path] = reason
        print_log(f'{path} is not read: {reason}', logger='current', level=logging.WARNING)

    def read(self, image: str) -> tuple[list[Tensor], str] | None:
        """The tensors of an image and the structure they were written with; None if it is not there, or damaged."""
        if image not in self._where:
            self.refresh()
        path = self._where.get(image)
        if path is None or path in self.damaged:
            return None
        header = self._shards[path]
        try:
            with safe_open(path, 'pt') as shard:
                tensors = [shard.get_tensor(f'{image}.{i}') for i in range(int(header['tensors']))]
        except (SafetensorError, OSError) as error:
            self._damage(path, str(error))
            return None
        if digest(tensors) != header.get(f'sum {image}'):
            self._damage(path, f'the checksum of image {image} differs')
            return None
        return tensors, header['structure']

    def write(self, images: Mapping[str, Sequence[Tensor]], structure: str, about: str = '') -> int:
        """Writes the tensors of some images as one shard.

        Args:
            images: Tensors by image, equally many of each.
            structure: How they belong together.
            about: For ``mmkd cache info``.

        Returns:
            The bytes of the file.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        count = len(next(iter(images.values())))
        header = dict(format=FORMAT, identity=self.identity, structure=structure, about=about, tensors=str(count))
        header.update(images=' '.join(images), **{f'sum {image}': digest(of_it) for image, of_it in images.items()})
        tensors = {f'{image}.{i}': t.cpu().contiguous() for image, of_it in images.items() for i, t in enumerate(of_it)}
        path = self.folder / f'{uuid.uuid4().hex}.safetensors'
        with written_whole(path) as part:
            save_file(tensors, part, header)
        self._shards[path] = header
        self._where.update(dict.fromkeys(images, path))
        return path.stat().st_size

    def check(self) -> dict[Path, str]:
        """Reads everything; the files that are damaged, with the reason."""
        self.refresh()
        for image in list(self._where):
            self.read(image)
        return self.damaged
