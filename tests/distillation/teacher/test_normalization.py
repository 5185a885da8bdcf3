"""The teacher sees what its own preprocessor would have made of the pixels."""

import pytest
import torch
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmdet.structures import DetDataSample
from mmengine.model import BaseDataPreprocessor, ImgDataPreprocessor
from mmseg.models import SegDataPreProcessor
from mmseg.structures import SegDataSample

from mmkd.distillation.teacher.normalization import Normalization, NormalizationBridge

RGB = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True)
BGR = dict(mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0], bgr_to_rgb=False)
UNIT = dict(mean=[0.0, 0.0, 0.0], std=[255.0, 255.0, 255.0], bgr_to_rgb=True)
GRAY = dict(mean=[127.5], std=[127.5])
RAW = dict()

PAIRS = [(RGB, BGR), (BGR, RGB), (RGB, UNIT), (RGB, RAW), (RAW, RGB), (BGR, GRAY), (dict(RGB, pad_value=3), UNIT)]


def images(sizes=((20, 30), (32, 17))):
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator) for size in sizes]


def detection_data():
    pixels = images()
    samples = [DetDataSample(metainfo=dict(img_shape=tuple(image.shape[1:]))) for image in pixels]
    return dict(inputs=pixels, data_samples=samples)


@pytest.mark.parametrize(('student', 'teacher'), PAIRS)
def test_a_batch_of_images_of_several_sizes_becomes_what_the_teacher_would_have_made_of_it(student, teacher):
    teacher = dict(teacher, pad_value=7)
    student, teacher = (DetDataPreprocessor(pad_size_divisor=16, **options) for options in (student, teacher))
    data = student(detection_data(), True)
    wanted = teacher(detection_data(), True)['inputs']
    before = data['inputs'].clone()
    converted = NormalizationBridge.between(student, teacher)(data['inputs'], data['data_samples'])
    torch.testing.assert_close(converted, wanted, rtol=1e-4, atol=1e-4)
    assert torch.equal(data['inputs'], before)
    assert (wanted[0, :, 20:] == 7).all()  # the images do not fill the batch, so the border was looked at


def test_segmentation_batches_likewise():
    def data():
        return dict(inputs=images(), data_samples=[SegDataSample(), SegDataSample()])

    student, teacher = (SegDataPreProcessor(size=(40, 48), **options) for options in (RGB, BGR))
    batch = student(data(), True)
    converted = NormalizationBridge.between(student, teacher)(batch['inputs'], batch['data_samples'])
    torch.testing.assert_close(converted, teacher(data(), True)['inputs'], rtol=1e-4, atol=1e-4)


def test_nothing_is_done_between_equals():
    assert NormalizationBridge.between(DetDataPreprocessor(**RGB), SegDataPreProcessor(size=(8, 8), **RGB)) is None


def test_a_padding_of_its_own_is_a_difference():
    bridge = NormalizationBridge.between(DetDataPreprocessor(**RGB), DetDataPreprocessor(**RGB, pad_value=1))
    sample = DetDataSample(metainfo=dict(img_shape=(1, 2)))
    assert bridge(torch.zeros(1, 3, 2, 2), [sample]).sum().item() == pytest.approx(6.0, abs=1e-4)


def test_a_teacher_that_says_nothing_of_pixels_takes_the_students_images():
    """mmrazor's inline teachers have no data_preprocessor: mmengine gives them one that only moves data."""
    assert NormalizationBridge.between(ImgDataPreprocessor(**RGB), BaseDataPreprocessor()) is None
    assert NormalizationBridge.between(ImgDataPreprocessor(**RGB), None) is None


def test_a_student_that_says_nothing_of_pixels_gives_raw_ones():
    pixels = torch.stack(images([(8, 8)])).float()
    bridge = NormalizationBridge.between(BaseDataPreprocessor(), ImgDataPreprocessor(**UNIT))
    torch.testing.assert_close(bridge(pixels), pixels.flip(1) / 255)


def test_without_sizes_an_image_fills_its_place():
    bridge = NormalizationBridge.between(DetDataPreprocessor(**RAW), DetDataPreprocessor(mean=[1] * 3, std=[1] * 3))
    for samples in (None, [], [DetDataSample()]):
        assert (bridge(torch.zeros(1, 3, 2, 2), samples) == -1).all()


def test_half_precision_images_are_converted_in_single_precision():
    bridge = NormalizationBridge.between(DetDataPreprocessor(**RGB), DetDataPreprocessor(**BGR))
    assert bridge(torch.zeros(1, 3, 2, 2, dtype=torch.float16)).dtype == torch.float32


def test_the_statistics_are_read_from_the_preprocessor():
    found = Normalization.of(DetDataPreprocessor(**RGB, pad_value=2))
    assert found.swaps_channels and found.pad_value == 2
    assert found.mean == pytest.approx(tuple(RGB['mean'])) and found.std == pytest.approx(tuple(RGB['std']))
