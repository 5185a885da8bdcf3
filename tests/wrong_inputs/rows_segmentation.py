"""Label maps, and folders of images."""

from __future__ import annotations

import shutil

from .files import bytes_of, label, pixels, removed
from .row import Row

SEG = 'train SEG'
SAMPLE = r'train_dataloader.dataset: sample 1, data/train/1.png: '
ALL = range(4)


def no_images(folder) -> None:
    for path in (folder / 'data/train').iterdir():
        path.unlink()


SEGMENTATION = [
    Row('a folder without images', SEG, r"data_prefix.img_path: no file in 'data/train' ends in '.png'", no_images),
    Row(
        'images of another suffix',
        SEG + ' --cfg-options train_dataloader.dataset.img_suffix=.jpg',
        r"no file in 'data/train' ends in '.jpg'; set .*img_suffix",
    ),
    Row(
        'no folder of images',
        SEG,
        r"data_prefix.img_path: 'data/train' does not exist",
        lambda folder: shutil.rmtree(folder / 'data/train'),
    ),
    Row(
        'no folder of labels',
        SEG,
        r"data_prefix.seg_map_path: 'data/labels/train' does not exist",
        lambda folder: shutil.rmtree(folder / 'data/labels/train'),
    ),
    Row(
        'a label map missing',
        SEG,
        SAMPLE + 'LoadAnnotations: data/labels/train/1.png does not exist',
        removed('data/labels/train/1.png'),
    ),
    Row(
        'a corrupt label map',
        SEG,
        SAMPLE + 'LoadAnnotations: .*data/labels/train/1.png',
        bytes_of('data/labels/train/1.png', b'x'),
    ),
    Row(
        'an id outside the classes',
        SEG,
        SAMPLE + r'data/labels/train/1.png has the id 2; 0 to 1, or 255 for pixels without',
        label(pixels(32, 32, value=2)),
    ),
    Row(
        'a label map of another size',
        SEG,
        SAMPLE + 'data/labels/train/1.png is 16 wide and 16 high, its image 32 wide and 32 high',
        label(pixels(16, 16)),
    ),
    Row(
        'a label map in colours',
        SEG,
        SAMPLE + r'data/labels/train/1.png has shape \(32, 32, 3\); one number for each pixel',
        label(pixels(32, 32, 3)),
    ),
    Row(
        'all pixels ignored',
        SEG,
        r'train_dataloader.dataset: not one pixel of the 4 label maps looked at has a class',
        label(pixels(32, 32, value=255), ALL),
    ),
    Row('all pixels of one image ignored', SEG, '', label(pixels(32, 32, value=255)), 0),
    Row(
        'a list of images that is not there',
        SEG + ' --cfg-options train_dataloader.dataset.ann_file=no.txt',
        r"ann_file: 'data/no.txt' does not exist",
    ),
    Row(
        'a number of classes that does not fit',
        SEG + ' --cfg-options model.decode_head.num_classes=19',
        r'model.decode_head.num_classes=19, but',
    ),
]
