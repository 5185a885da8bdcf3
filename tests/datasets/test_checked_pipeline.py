"""A sample that cannot be used is named; one that can passes as it is."""

import pickle

import numpy as np
import pytest
from torch.utils.data import DataLoader

from mmkd.datasets import CheckedPipeline, SampleError


class LoadImage:
    """Stands for a step that loads: its name begins with Load."""

    def __init__(self, **loaded):
        self.loaded = loaded

    def __call__(self, results):
        return {**results, 'img': np.zeros((4, 6, 3), np.uint8), 'ori_shape': (4, 6), **self.loaded}


class Step:
    """A step that does what it is told."""

    def __init__(self, does):
        self.does = does

    def __call__(self, results):
        return self.does(results)


def fail(results):
    raise RuntimeError('something\nis wrong')


def drop(results):
    return None


def keep(results):
    return results


SAMPLE = dict(sample_idx=7, img_path='images/7.jpg')


def run(*steps, sample=SAMPLE, **kwargs):
    return CheckedPipeline(list(steps), name='train', **kwargs)(dict(sample))


def refused(*steps, **kwargs) -> str:
    with pytest.raises(SampleError) as caught:
        run(*steps, **kwargs)
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_what_passes_is_what_the_steps_make():
    assert run(LoadImage(), Step(lambda results: {**results, 'a': 1}))['a'] == 1


def test_an_exception_of_a_step_names_the_sample_and_the_step():
    assert refused(LoadImage(), Step(fail)) == 'train: sample 7, images/7.jpg: Step: something is wrong'


@pytest.mark.parametrize(
    'loaded, settings, message',
    [
        (dict(img=np.full((4, 6, 3), np.nan, np.float32)), {}, '72 values of the image are NaN or infinite'),
        (dict(height=6, width=4), {}, 'the image is 6 wide and 4 high, but the annotation file says 4 wide and 6 high'),
        (dict(gt_bboxes=np.array([[0, 0, np.inf, 1]])), {}, 'a box has a coordinate that is NaN or infinite'),
        (dict(gt_seg_map=np.zeros((4, 6, 3), np.uint8)), {}, 'has shape (4, 6, 3); one number for each pixel'),
        (dict(gt_seg_map=np.zeros((6, 4), np.uint8)), {}, 'is 4 wide and 6 high, its image 6 wide and 4 high'),
        (dict(gt_depth_map=np.zeros((6, 4))), {}, 'is 4 wide and 6 high, its image 6 wide and 4 high'),
        (dict(gt_seg_map=np.full((4, 6), 3)), dict(num_classes=3), 'has the id 3; 0 to 2, or 255 for pixels'),
        (dict(gt_seg_map=np.full((4, 6), -1)), dict(num_classes=3), 'has the id -1'),
    ],
)
def test_what_is_wrong_in_what_was_loaded(loaded, settings, message):
    assert message in refused(LoadImage(**loaded), **settings)


def test_ignored_pixels_and_unknown_classes_pass():
    labels = np.array([[0, 1, 255, 7] * 6]).reshape(4, 6)
    assert run(LoadImage(gt_seg_map=labels), num_classes=2, ignore_index=7) is not None
    assert run(LoadImage(gt_seg_map=labels)) is not None


def test_a_label_map_loaded_after_a_resizing_is_compared_with_the_image_as_it_was():
    resize = Step(lambda results: {**results, 'img': np.zeros((8, 12, 3), np.uint8), 'img_shape': (8, 12)})
    later = type('LoadLabels', (Step,), {})(lambda results: {**results, 'gt_seg_map': np.zeros((4, 6), np.uint8)})
    assert run(LoadImage(), resize, later, num_classes=2) is not None


def test_samples_that_are_dropped_are_counted_until_it_is_too_many(monkeypatch):
    monkeypatch.setattr('mmkd.datasets.checked_pipeline.MOST_DROPPED', 3)
    drops = [True, True, False, True, True, True]
    pipeline = CheckedPipeline([Step(lambda results: None if drops.pop(0) else results)], name='train')
    assert [pipeline(dict(SAMPLE)) is None for _ in range(5)] == [True, True, False, True, True]
    with pytest.raises(SampleError, match='3 samples in a row were dropped, this one by Step'):
        pipeline(dict(SAMPLE))


def test_only_the_loading_steps_at_the_beginning_are_run_to_look_at_a_sample():
    pipeline = CheckedPipeline([LoadImage(), Step(fail)], name='train')
    assert pipeline.load(dict(SAMPLE))['img'].shape == (4, 6, 3)


class FailingDataset:
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return CheckedPipeline([Step(fail if index == 2 else keep)], name='train')(dict(sample_idx=index))


def test_the_error_of_a_worker_is_one_line_in_the_main_process():
    with pytest.raises(SampleError) as caught:
        list(DataLoader(FailingDataset(), num_workers=1))
    assert str(caught.value) == 'train: sample 2: Step: something is wrong'


def test_it_can_be_sent_to_a_worker_that_is_not_forked():
    pipeline = pickle.loads(pickle.dumps(CheckedPipeline([LoadImage(), Step(keep)], name='train', num_classes=2)))
    assert pipeline(dict(SAMPLE))['img_path'] == 'images/7.jpg'
