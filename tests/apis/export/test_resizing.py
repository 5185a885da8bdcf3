"""Resizing in a graph gives the pixels of OpenCV and of Pillow."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from mmkd.apis.export.resizing import resize_like_opencv, resize_like_pillow

SIZES = [(40, 50), (77, 100), (160, 150), (333, 400), (700, 515)]


@pytest.fixture(scope='module')
def image():
    rng = np.random.default_rng(0)
    return cv2.GaussianBlur(rng.integers(0, 256, (160, 150, 3), dtype=np.uint8), (0, 0), 0.7)


def resized(function, image, height, width):
    return function(torch.from_numpy(image.transpose(2, 0, 1)[None]).float(), height, width)[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize(('height', 'width'), SIZES)
def test_as_opencv(image, height, width):
    ours = resized(resize_like_opencv, image, height, width)
    difference = np.abs(ours - cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.002


@pytest.mark.parametrize(('height', 'width'), SIZES)
def test_as_pillow(image, height, width):
    ours = resized(resize_like_pillow, image, height, width)
    difference = np.abs(ours - np.asarray(Image.fromarray(image).resize((width, height), Image.BILINEAR), np.float32))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.02


def test_sizes_may_be_tensors(image):
    expected = resized(resize_like_opencv, image, 77, 100)
    np.testing.assert_array_equal(resized(resize_like_opencv, image, torch.tensor(77), torch.tensor(100)), expected)
