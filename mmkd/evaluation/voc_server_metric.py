"""Predictions in the form that the evaluation server of PASCAL VOC wants."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.logging import print_log
from mmengine.utils import mkdir_or_exist
from mmseg.evaluation import IoUMetric
from PIL import Image

from mmkd.registry import METRICS

__all__ = ['VOCServerMetric', 'voc_palette']

SUITES = ('comp5', 'comp6')


def voc_palette() -> np.ndarray:
    """The 256 colours of VOC, (256, 3) of uint8.

    The bits of an id are dealt to red, green and blue in turn, from the most significant bit of each downwards: 1 is
    dark red, 2 dark green, 3 dark yellow; 255, which stands for no label, is (224, 224, 192).
    """
    ids = np.arange(256)
    palette = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            palette[:, channel] |= (((ids >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    return palette


@METRICS.register_module()
class VOCServerMetric(IoUMetric):
    """Writes each prediction as a PNG with VOC's palette, at the size of the image as it was before any resizing.

    The files lie in ``<output_dir>/results/VOC2012/Segmentation/<suite>_test_cls``, one for each image, named like it:
    the folders that the server (http://host.robots.ox.ac.uk) expects in the archive.

    Args:
        output_dir: Where the folder ``results`` is made.
        suite: ``'comp5'`` for networks trained on nothing but the data of VOC, ``'comp6'`` for all others; ImageNet
            weights make it the latter.
        format_only: Whether there are no labels, as for *test*. False scores as well, for data that have labels.
        **kwargs: As for mmseg's ``IoUMetric``.

    Raises:
        ValueError: ``suite`` is unknown.
    """

    def __init__(self, output_dir: str, suite: str = 'comp6', format_only: bool = True, **kwargs):
        if suite not in SUITES:
            raise ValueError(f'VOCServerMetric: suite: expected one of {SUITES}, but got {suite!r}')
        super().__init__(format_only=format_only, **kwargs)
        self.folder = Path(output_dir) / 'results' / 'VOC2012' / 'Segmentation' / f'{suite}_test_cls'
        self.palette = voc_palette()
        mkdir_or_exist(str(self.folder))

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Writes the predictions of a batch, and scores them unless ``format_only``."""
        super().process(data_batch, data_samples)
        for sample in data_samples:
            ids = sample['pred_sem_seg']['data'].squeeze(0).cpu().numpy().astype(np.uint8)
            if 'ori_shape' in sample and ids.shape != tuple(sample['ori_shape'][:2]):
                raise ValueError(
                    f'VOCServerMetric: the prediction of {sample["img_path"]} is {ids.shape}, the image '
                    f'{tuple(sample["ori_shape"][:2])}; the server wants the size of the image'
                )
            image = Image.fromarray(ids)  # of mode L; a palette makes it mode P
            image.putpalette(self.palette.flatten().tolist())
            image.save(self.folder / f'{Path(sample["img_path"]).stem}.png')

    def compute_metrics(self, results: list) -> dict[str, float]:
        """The scores of ``IoUMetric``; none with ``format_only``."""
        print_log(f'predictions for the server are in {self.folder}', logger='current')
        return {} if self.format_only else super().compute_metrics(results)
