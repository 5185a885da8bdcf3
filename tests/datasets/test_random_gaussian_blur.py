import cv2
import numpy as np
import pytest

from mmkd.datasets import RandomGaussianBlur
from mmkd.registry import TRANSFORMS


@pytest.fixture
def results():
    rng = np.random.default_rng(0)
    image, labels = rng.integers(0, 256, (20, 30, 3), np.uint8), rng.integers(0, 21, (20, 30), np.uint8)
    return dict(img=image, gt_seg_map=labels)


def test_half_of_the_images_are_blurred_and_no_labels(results):
    np.random.seed(0)
    blur = TRANSFORMS.build(dict(type='RandomGaussianBlur'))
    image, labels = results['img'].copy(), results['gt_seg_map'].copy()
    changed = []
    for _ in range(200):
        out = blur(dict(img=image.copy(), gt_seg_map=labels.copy()))
        assert (out['gt_seg_map'] == labels).all()
        changed.append((out['img'] != image).any())
    # a deviation of less than about 0.25 pixels rounds to nothing: 3/8 and not 1/2
    assert 0.28 < np.mean(changed) < 0.5


def test_width_of_the_blur(results, monkeypatch):
    blur = RandomGaussianBlur(prob=1.0, max_sigma=3.0)
    monkeypatch.setattr(np.random, 'rand', lambda: 0.5)
    expected = cv2.GaussianBlur(results['img'], (0, 0), 1.5)
    assert (blur(results)['img'] == expected).all()


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match='prob: .* 1.5'):
        RandomGaussianBlur(prob=1.5)
    with pytest.raises(ValueError, match='max_sigma: .* 0'):
        RandomGaussianBlur(max_sigma=0)
    assert 'prob=0.5, max_sigma=1.0' in repr(RandomGaussianBlur())
