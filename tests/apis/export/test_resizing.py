"""Resizing in a graph gives the pixels of OpenCV and of Pillow."""

import importlib.util
import io

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from mmkd.apis.export.operators import OPSET
from mmkd.apis.export.resizing import resize_like_opencv, resize_like_pillow

SIZES = [(40, 50), (77, 100), (160, 150), (80, 75), (333, 400), (700, 515), (12, 9)]


@pytest.fixture(scope='module')
def image():
    rng = np.random.default_rng(0)
    return cv2.GaussianBlur(rng.integers(0, 256, (160, 150, 3), dtype=np.uint8), (0, 0), 0.7)


def resized(function, image, height, width):
    return function(torch.from_numpy(image.transpose(2, 0, 1)[None]).float(), height, width)[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize(('height', 'width'), SIZES)
def test_as_opencv(image, height, width):
    ours = resized(resize_like_opencv, image, height, width)
    np.testing.assert_array_equal(ours, cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR))


@pytest.mark.parametrize(('height', 'width'), SIZES)
def test_as_pillow(image, height, width):
    ours = resized(resize_like_pillow, image, height, width)
    expected = Image.fromarray(image).resize((width, height), Image.BILINEAR)
    np.testing.assert_array_equal(ours, np.asarray(expected))


def test_sizes_may_be_tensors(image):
    expected = resized(resize_like_opencv, image, 77, 100)
    np.testing.assert_array_equal(resized(resize_like_opencv, image, torch.tensor(77), torch.tensor(100)), expected)


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('function', [resize_like_opencv, resize_like_pillow])
@pytest.mark.parametrize(('height', 'width'), SIZES[1:6])
def test_a_file_does_the_same_with_an_image_of_another_size(image, function, height, width):
    class Module(torch.nn.Module):
        def forward(self, x):
            half = x.shape[2] // 2
            return function(x, height, width), function(x, half, x.shape[3] - 7)

    buffer = io.BytesIO()
    torch.onnx.export(
        Module(),
        (torch.zeros(1, 3, 33, 44),),
        buffer,
        input_names=['x'],
        dynamic_axes=dict(x=[2, 3]),
        opset_version=OPSET,
        dynamo=False,
    )
    x = torch.from_numpy(image.transpose(2, 0, 1)[None]).float()
    for given in (_in_onnxruntime(buffer.getvalue(), x.numpy()), _in_openvino(buffer.getvalue(), x.numpy())):
        for ours, expected in zip(given, Module()(x), strict=False):
            np.testing.assert_array_equal(ours, expected.numpy())


def _in_onnxruntime(file, x):
    return pytest.importorskip('onnxruntime').InferenceSession(file).run(None, {'x': x})


def _in_openvino(file, x):
    """Nothing where it is not installed."""
    if importlib.util.find_spec('openvino') is None:
        return []
    import openvino

    core = openvino.Core()
    compiled = core.compile_model(core.read_model(file), 'CPU', dict(INFERENCE_PRECISION_HINT='f32'))
    results = compiled([x])
    return [results[output] for output in compiled.outputs]
