"""CenterNet's random crop for images with instance masks."""

from __future__ import annotations

import numpy as np
from mmdet.datasets.transforms import RandomCenterCropPad
from mmdet.structures.mask import BitmapMasks, PolygonMasks

from mmkd.registry import TRANSFORMS

__all__ = ['InstanceCenterCropPad']


@TRANSFORMS.register_module()
class InstanceCenterCropPad(RandomCenterCropPad):
    """mmdet's ``RandomCenterCropPad``, which cuts a window around a random centre and pads it, with masks as well.

    mmdet's refuses them. Bitmaps are cut and padded; polygons are moved, and may reach beyond the image. Objects whose
    centre is outside of the window are dropped, boxes are clipped to it.

    Args:
        **kwargs: As for mmdet's ``RandomCenterCropPad``.
    """

    def transform(self, results: dict) -> dict:
        """Cuts image, boxes and masks alike; the image has to be float32."""
        if self.test_mode or 'gt_masks' not in results:
            return super().transform(results)
        masks, labels = results.pop('gt_masks'), results['gt_bboxes_labels']
        # What becomes of the labels says which objects are left.
        results['gt_bboxes_labels'] = np.arange(len(labels))
        results = super().transform(results)
        left = results['gt_bboxes_labels']
        results['gt_bboxes_labels'] = labels[left]
        results['gt_masks'] = self._crop_masks(masks[left], *results['img_shape'])
        return results

    def _crop_image_and_paste(self, image, center, size):
        # The base class calls this until a window has an object in it; the last one counts.
        cropped, border, patch = super()._crop_image_and_paste(image, center, size)
        self._window = border.astype(int), patch
        return cropped, border, patch

    def _crop_masks(self, masks: BitmapMasks | PolygonMasks, height: int, width: int) -> BitmapMasks | PolygonMasks:
        (top, bottom, left, right), (x1, y1, x2, y2) = self._window
        if isinstance(masks, PolygonMasks):
            shift = np.array([left - x1, top - y1], dtype=float)
            moved = [[(p.reshape(-1, 2) + shift).reshape(-1) for p in polygons] for polygons in masks.masks]
            return PolygonMasks(moved, height, width)
        cropped = np.zeros((len(masks), height, width), dtype=np.uint8)
        cropped[:, top:bottom, left:right] = masks.masks[:, y1:y2, x1:x2]
        return BitmapMasks(cropped, height, width)
