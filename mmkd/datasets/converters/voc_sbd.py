"""VOC 2012 and the Semantic Boundaries Dataset to COCO's instance annotations."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

__all__ = ['CLASSES', 'ImageInstances', 'convert', 'read_sbd', 'read_voc', 'to_coco']

CLASSES = (
    'aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow', 'diningtable', 'dog',
    'horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa', 'train', 'tvmonitor',
)  # fmt: skip
VOID = 255


class ImageInstances(NamedTuple):
    """The objects of an image.

    Attributes:
        name: The image without extension, ``'2007_000032'``.
        path: Its JPEG file.
        labels: (n,) 1 to 20.
        instances: (H, W) 0 for background and void, k for object k - 1.
    """

    name: str
    path: Path
    labels: np.ndarray
    instances: np.ndarray


def read_voc(root: Path, split: str) -> Iterator[ImageInstances]:
    """Reads the objects of ``VOCdevkit/VOC2012``, from ``SegmentationClass`` and ``SegmentationObject``.

    Args:
        root: The folder ``VOC2012``.
        split: ``'train'`` or ``'val'``, a list in ``ImageSets/Segmentation``.

    Yields:
        The objects of each image of the list.

    Raises:
        FileNotFoundError: A folder, list or file is missing.
        ValueError: A file is not what it should be; names it.
    """
    names = _read_list(root / 'ImageSets' / 'Segmentation' / f'{split}.txt')
    _check_files(root, names, ('JPEGImages/{}.jpg', 'SegmentationClass/{}.png', 'SegmentationObject/{}.png'))
    for name in names:
        path = root / 'JPEGImages' / f'{name}.jpg'
        objects = _read_indexed(root / 'SegmentationObject' / f'{name}.png')
        classes = _read_indexed(root / 'SegmentationClass' / f'{name}.png')
        if objects.shape != classes.shape:
            raise ValueError(
                f'{name}: SegmentationObject is {_size(objects)} and SegmentationClass {_size(classes)}, expected equal'
            )
        objects = np.where(objects == VOID, 0, objects)
        labels = []
        for number in np.unique(objects[objects > 0]):
            found = np.unique(classes[objects == number])
            found = found[(found > 0) & (found != VOID)]
            if len(found) != 1:
                raise ValueError(f'{name}: object {number} of SegmentationObject has the classes {found.tolist()}')
            labels.append(int(found[0]))
        yield _checked(name, path, np.array(labels, int), _renumbered(objects))


def read_sbd(root: Path, voc_root: Path, split: str, exclude: Iterable[str] = ()) -> Iterator[ImageInstances]:
    """Reads the objects of SBD, the folder ``benchmark_RELEASE/dataset`` with ``inst`` and ``train.txt``, ``val.txt``.

    Args:
        root: That folder, or ``benchmark_RELEASE`` or the one that holds it.
        voc_root: The folder ``VOC2012``, which has the images.
        split: ``'train'`` or ``'val'``.
        exclude: Names of images to leave out.

    Yields:
        The objects of each image of the list.

    Raises:
        FileNotFoundError: A folder, list or file is missing.
        ValueError: A file is not what it should be; names it.
    """
    from scipy.io import loadmat

    root = _first_with(root, ('.', 'dataset', 'benchmark_RELEASE/dataset'), 'inst')
    exclude = set(exclude)
    names = [name for name in _read_list(root / f'{split}.txt') if name not in exclude]
    _check_files(root, names, ('inst/{}.mat',))
    _check_files(voc_root, names, ('JPEGImages/{}.jpg',))
    for name in names:
        path = root / 'inst' / f'{name}.mat'
        try:
            content = loadmat(path)['GTinst'][0, 0]
            instances, labels = content['Segmentation'], np.asarray(content['Categories']).reshape(-1).astype(int)
        except (KeyError, ValueError, IndexError, TypeError, NotImplementedError, OSError) as error:
            raise ValueError(f'{path}: not a file of SBD with GTinst.Segmentation and GTinst.Categories') from error
        if instances.ndim != 2 or instances.max(initial=0) > len(labels):
            raise ValueError(
                f'{path}: {len(labels)} categories for instances numbered up to {instances.max(initial=0)}'
            )
        present = np.isin(np.arange(1, len(labels) + 1), instances)
        yield _checked(name, voc_root / 'JPEGImages' / f'{name}.jpg', labels[present], _renumbered(instances))


def to_coco(images: Iterable[ImageInstances], report: Callable[[int], None] | None = None) -> dict:
    """COCO's annotations, with masks as run-length codes.

    Args:
        images: The objects of each image.
        report: Called with the number of images done, after each.

    Returns:
        The content of a COCO json file. Classes are numbered 1 to 20, images in the order given.
    """
    content = dict(
        images=[],
        annotations=[],
        categories=[dict(id=i, name=name, supercategory='voc') for i, name in enumerate(CLASSES, 1)],
    )
    for number, image in enumerate(images, 1):
        height, width = image.instances.shape
        content['images'].append(dict(id=number, file_name=f'{image.name}.jpg', height=height, width=width))
        for k, label in enumerate(image.labels.tolist(), 1):
            code = coco_mask.encode(np.asfortranarray(image.instances == k, dtype=np.uint8))
            content['annotations'].append(
                dict(
                    id=len(content['annotations']) + 1,
                    image_id=number,
                    category_id=label,
                    iscrowd=0,
                    area=float(coco_mask.area(code)),
                    bbox=[float(x) for x in coco_mask.toBbox(code)],
                    segmentation=dict(size=[height, width], counts=code['counts'].decode('ascii')),
                )
            )
        if report is not None:
            report(number)
    return content


def convert(
    voc_root: str | Path,
    out: str | Path,
    sbd_root: str | Path | None = None,
    images: str = 'link',
    report: Callable[[int], None] | None = None,
) -> list[str]:
    """Writes ``instances_train.json``, ``instances_val.json`` and ``images/train``, ``images/val``.

    Validation is VOC 2012's val. Training is VOC 2012's train and, with SBD, its train and val without those two: the
    10,582 images known as ``train_aug``. Where both have an image, VOC's more careful annotation counts.

    Args:
        voc_root: The folder ``VOC2012``, or ``VOCdevkit`` or the one that holds it.
        out: The folder to write to, made if need be.
        sbd_root: The folder of SBD, see :func:`read_sbd`; None for VOC alone.
        images: ``'link'`` makes links to VOC's images, ``'copy'`` copies, ``'none'`` leaves the images alone.
        report: Called with the number of images done, after each.

    Returns:
        A line for each file written, to show.

    Raises:
        FileNotFoundError: A folder, list or file is missing.
        ValueError: A file is not what it should be; names it.
    """
    if images not in ('link', 'copy', 'none'):
        raise ValueError(f"images is {images!r}, expected 'link', 'copy' or 'none'")
    voc_root, out = Path(voc_root), Path(out)
    voc_root = _first_with(voc_root, ('.', 'VOC2012', 'VOCdevkit/VOC2012'), 'SegmentationObject')
    val = _read_list(voc_root / 'ImageSets' / 'Segmentation' / 'val.txt')
    train = _read_list(voc_root / 'ImageSets' / 'Segmentation' / 'train.txt')
    sets = dict(train=lambda: _train_images(voc_root, sbd_root, {*train, *val}), val=lambda: read_voc(voc_root, 'val'))
    contents, paths = {}, {}
    for split, read in sets.items():  # both are read before anything is written
        paths[split] = []
        contents[split] = to_coco(_with_paths(read(), paths[split]), report)
    out.mkdir(parents=True, exist_ok=True)
    lines = []
    for split, content in contents.items():
        if images != 'none':
            _place_images(paths[split], out / 'images' / split, images)
        path = out / f'instances_{split}.json'
        temporary = path.with_suffix('.tmp')
        temporary.write_text(json.dumps(content))
        os.replace(temporary, path)
        lines.append(f'{path}: {len(content["images"])} images, {len(content["annotations"])} objects')
    return lines


def _train_images(voc_root: Path, sbd_root: str | Path | None, in_voc: set[str]) -> Iterator[ImageInstances]:
    yield from read_voc(voc_root, 'train')
    if sbd_root is not None:
        for split in ('train', 'val'):
            yield from read_sbd(Path(sbd_root), voc_root, split, in_voc)


def _with_paths(images: Iterable[ImageInstances], paths: list[Path]) -> Iterator[ImageInstances]:
    for image in images:
        paths.append(image.path)
        yield image


def _place_images(paths: list[Path], folder: Path, how: str) -> None:
    import shutil

    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        target = folder / path.name
        if target.is_symlink() or target.exists():
            target.unlink()
        if how == 'link':
            target.symlink_to(path.resolve())
        else:
            shutil.copyfile(path, target)


def _first_with(root: Path, candidates: Iterable[str], child: str) -> Path:
    for candidate in candidates:
        if (root / candidate / child).is_dir():
            return root / candidate
    raise FileNotFoundError(f'{root}: no folder {child} in it; is it the folder of the data set?')


def _read_list(path: Path) -> list[str]:
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such list of images')
    names = path.read_text().split()
    if not names:
        raise ValueError(f'{path}: no image in this list')
    twice = len(names) - len(set(names))
    if twice:
        raise ValueError(f'{path}: {twice} of {len(names)} images are listed twice')
    return names


def _check_files(root: Path, names: list[str], patterns: Iterable[str]) -> None:
    """One message for all that is missing, before anything is read."""
    missing = [root / pattern.format(name) for pattern in patterns for name in names]
    missing = [path for path in missing if not path.is_file()]
    if missing:
        raise FileNotFoundError(f'{root}: {len(missing)} files are missing, first {missing[0].relative_to(root)}')


def _read_indexed(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            if image.mode not in ('P', 'L'):
                raise ValueError(f'{path}: an image of mode {image.mode}, expected one of class numbers (P or L)')
            return np.array(image)
    except OSError as error:
        raise ValueError(f'{path}: not an image that can be read') from error


def _renumbered(instances: np.ndarray) -> np.ndarray:
    """The numbers that occur, in their order, as 1, 2, ...; 0 stays."""
    numbers = np.unique(instances[instances > 0])
    table = np.zeros(int(instances.max(initial=0)) + 1, dtype=np.uint16)
    table[numbers] = np.arange(1, len(numbers) + 1)
    return table[instances]


def _checked(name: str, path: Path, labels: np.ndarray, instances: np.ndarray) -> ImageInstances:
    wrong = labels[(labels < 1) | (labels > len(CLASSES))]
    if len(wrong):
        raise ValueError(f'{name}: class {wrong[0]}, expected 1 to {len(CLASSES)}')
    try:
        with Image.open(path) as image:
            width, height = image.size
    except OSError as error:
        raise ValueError(f'{path}: not an image that can be read') from error
    if instances.shape != (height, width):
        raise ValueError(f'{name}: the annotation is {_size(instances)}, the image {width} x {height}')
    return ImageInstances(name, path, labels, instances)


def _size(array: np.ndarray) -> str:
    return f'{array.shape[1]} x {array.shape[0]}'
