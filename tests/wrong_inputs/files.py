"""The data sets that the wrong inputs are made from, and ways to spoil them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

__all__ = [
    'annotation',
    'bytes_of',
    'coco',
    'config',
    'each',
    'image',
    'label',
    'pixels',
    'popped',
    'removed',
    'text',
    'without',
    'write_data',
]

SIDE = 32  # of the images, in pixels
NUMBER = 4


def write_data(folder: Path) -> None:
    """``data/train`` and ``data/val``: images with a box each and COCO's json; ``data/labels``: maps of two classes."""
    generator = np.random.default_rng(0)
    for split in ('train', 'val'):
        for i in range(NUMBER):
            save(folder / f'data/{split}/{i}.png', generator.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))
            save(folder / f'data/labels/{split}/{i}.png', generator.integers(0, 2, (SIDE, SIDE), dtype=np.uint8))
        images = [dict(id=i, file_name=f'{i}.png', width=SIDE, height=SIDE) for i in range(NUMBER)]
        objects = [
            dict(
                id=i, image_id=i, category_id=1, bbox=[4, 4, 16, 16], area=256, iscrowd=0, segmentation=[square(4, 20)]
            )
            for i in range(NUMBER)
        ]
        content = dict(images=images, annotations=objects, categories=[dict(id=1, name='cell')])
        (folder / f'data/{split}.json').write_text(json.dumps(content))


def square(low: float, high: float) -> list[float]:
    return [low, low, high, low, high, high, low, high]


def save(path: Path, array: np.ndarray, **kwargs) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **kwargs)


def coco(change: Callable[[dict], object], split: str = 'train') -> Callable[[Path], None]:
    """Changes the json; ``change`` alters it, or returns what takes its place."""

    def make(folder: Path) -> None:
        path = folder / f'data/{split}.json'
        content = json.loads(path.read_text())
        result = change(content)
        path.write_text(json.dumps(content if result is None else result))

    return make


def annotation(**changes) -> Callable[[Path], None]:
    """Changes the first object of the training set."""
    return coco(lambda content: content['annotations'][0].update(changes))


def each(**changes) -> Callable[[Path], None]:
    """Changes every object of the training set."""
    return coco(lambda content: [item.update(changes) for item in content['annotations']] and None)


def without(key: str) -> Callable[[Path], None]:
    """Takes a key from the first object of the training set."""
    return popped('annotations', key)


def popped(group: str, key: str) -> Callable[[Path], None]:
    """Takes a key from the first image, object or category of the training set."""

    def change(content: dict) -> None:
        content[group][0].pop(key)

    return coco(change)


def image(array: np.ndarray, number: int = 1, **kwargs) -> Callable[[Path], None]:
    """Replaces an image of the training set."""
    return lambda folder: save(folder / f'data/train/{number}.png', array, **kwargs)


def label(array: np.ndarray, numbers=(1,)) -> Callable[[Path], None]:
    """Replaces label maps of the training set."""
    return lambda folder: [save(folder / f'data/labels/train/{i}.png', array) for i in numbers] and None


def pixels(*shape: int, value: int = 0, dtype=np.uint8) -> np.ndarray:
    return np.full(shape, value, dtype=dtype)


def text(name: str, content: str) -> Callable[[Path], None]:
    """Writes a text file."""
    return bytes_of(name, content.encode())


def config(base: str, content: str) -> Callable[[Path], None]:
    """Writes c.py, a config that inherits from one of :mod:`wrong_inputs.configs`."""
    return text('c.py', f'_base_ = {str(Path(__file__).parent / "configs" / f"{base}.py")!r}\n{content}')


def bytes_of(name: str, content: bytes) -> Callable[[Path], None]:
    """Writes a file, in place of one that may be there."""

    def make(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    return make


def removed(name: str) -> Callable[[Path], None]:
    """Removes a file."""
    return lambda folder: (folder / name).unlink()
