"""Blurring an image at random."""

from __future__ import annotations

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness

from mmkd.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomGaussianBlur(BaseTransform):
    """Blurs the image with a Gaussian of a random width; labels stay sharp.

    As in the training of DeepLabV3+-KD and pytorch-deeplab-xception: with a probability of a half, deviation uniform
    between 0 and 1 pixel.

    Args:
        prob: Probability of a blur.
        max_sigma: Largest standard deviation, in pixels.

    Raises:
        ValueError: ``prob`` is no probability or ``max_sigma`` not above 0.
    """

    def __init__(self, prob: float = 0.5, max_sigma: float = 1.0):
        if not 0 <= prob <= 1:
            raise ValueError(f'RandomGaussianBlur: prob: expected a number from 0 to 1, but got {prob!r}')
        if not max_sigma > 0:
            raise ValueError(f'RandomGaussianBlur: max_sigma: expected a number above 0, but got {max_sigma!r}')
        self.prob = prob
        self.max_sigma = max_sigma

    @cache_randomness
    def _sigma(self) -> float:
        return np.random.rand() * self.max_sigma if np.random.rand() < self.prob else 0.0

    def transform(self, results: dict) -> dict:
        """Blurs ``results['img']`` (H, W, C)."""
        sigma = self._sigma()
        if sigma > 0:
            results['img'] = cv2.GaussianBlur(results['img'], (0, 0), sigma)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(prob={self.prob}, max_sigma={self.max_sigma})'
