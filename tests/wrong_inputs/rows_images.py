"""Images that cannot be read, or are not what one expects."""

from __future__ import annotations

import shutil

import numpy as np
from PIL import Image

from .files import bytes_of, coco, config, image, pixels, removed
from .row import Row

DET = 'train DET'
LOAD_UNCHANGED = """
train_pipeline = [
    dict(type='LoadImageFromFile', color_type='unchanged', to_float32=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
"""
SAMPLE = r'train_dataloader.dataset: sample 1, data/train/1.png: '


def cut_off(folder) -> None:
    path = folder / 'data/train/1.png'
    path.write_bytes(path.read_bytes()[:40])


def of_size(width: int, height: int):
    def make(folder) -> None:
        image(pixels(height, width, 3, value=9))(folder)
        coco(lambda content: content['images'][1].update(width=width, height=height))(folder)

    return make


def cmyk(folder) -> None:
    Image.new('CMYK', (32, 32), (9, 9, 9, 9)).save(folder / 'data/train/1.png', format='JPEG')


def nan(folder) -> None:
    config('detector', LOAD_UNCHANGED)(folder)
    values = np.zeros((32, 32), np.float32)
    values[3, 3] = np.nan
    Image.fromarray(values).save(folder / 'data/train/1.tiff')
    coco(lambda content: content['images'][1].update(file_name='1.tiff'))(folder)


IMAGES = [
    Row(
        'the first image missing',
        DET,
        r"data_prefix.img: 'data/train/' has no '0.png', the first image of",
        removed('data/train/0.png'),
    ),
    Row(
        'another image missing',
        DET,
        SAMPLE + 'LoadImageFromFile: data/train/1.png does not exist',
        removed('data/train/1.png'),
    ),
    Row(
        'no folder of images',
        DET,
        r"data_prefix.img: 'data/train/' does not exist",
        lambda folder: shutil.rmtree(folder / 'data/train'),
    ),
    Row(
        'an empty file',
        DET,
        SAMPLE + 'LoadImageFromFile: the file cannot be read as an image',
        bytes_of('data/train/1.png', b''),
    ),
    Row(
        'a text file',
        DET,
        SAMPLE + 'LoadImageFromFile: the file cannot be read as an image',
        bytes_of('data/train/1.png', b'no image'),
    ),
    Row('a cut-off file', DET, SAMPLE + 'LoadImageFromFile: the file cannot be read as an image', cut_off),
    Row(
        'an image 3000 wide and 1 high',
        DET,
        SAMPLE + r'Resize: .* \(the image is 3000 wide and 1 high\)',
        of_size(3000, 1),
    ),
    Row('an image of one pixel', DET, '', of_size(1, 1), 0),
    Row('a gray image', DET, '', image(pixels(32, 32)), 0),
    Row('an image of 16 bits', DET, '', image(pixels(32, 32, value=999, dtype=np.uint16)), 0),
    Row('an image with transparency', DET, '', image(pixels(32, 32, 4)), 0),
    Row('a CMYK image', DET, '', cmyk, 0),
    Row('NaN in an image', 'train c.py', r'sample 1, data/train/1.tiff: 1 values of the image are NaN', nan),
    Row(
        'an image of the test missing',
        'test DET CKPT',
        r'test_dataloader.dataset: sample 2, data/val/2.png: .*does not exist',
        removed('data/val/2.png'),
    ),
    Row(
        'an image of the validation missing',
        DET,
        r'val_dataloader.dataset: sample 2, data/val/2.png: .*does not exist',
        removed('data/val/2.png'),
    ),
]
