"""Monocular depth: folders of images and 16-bit depth maps, with the camera that took them."""

from __future__ import annotations

from collections.abc import Sequence

from mmseg.datasets import NYUDataset
from mmseg.datasets.transforms import RandomCrop, RandomFlip, Resize

from mmkd.registry import DATASETS, TRANSFORMS

__all__ = ['CameraRandomCrop', 'CameraRandomFlip', 'CameraResize', 'DepthFolder']

INTRINSICS = 'intrinsics'


@DATASETS.register_module()
class DepthFolder(NYUDataset):
    """Images and depth maps of the same names in two folders; the depth in PNG files of 16 bits.

    NYUv2 as mmseg wants it lies like that, and so do the frames of most RGB-D cameras. The unit of the files is said
    where they are read: ``LoadDepthAnnotation(depth_rescale_factor=1e-3)`` for millimetres. 0 stands for no reading.

    Args:
        intrinsics: fx, fy, cx, cy of the images as they lie in the folder, in pixels; the centre of the first pixel is
            (0, 0). ``results['intrinsics']`` follows resizing, cropping and flipping by :class:`CameraResize`,
            :class:`CameraRandomCrop` and :class:`CameraRandomFlip`. ``PackSegInputs`` hands it on if it is among its
            ``meta_keys``. None: no sample has any.
        **kwargs: As for mmseg's ``NYUDataset``: ``data_prefix=dict(img_path=..., depth_map_path=...)`` and others.

    Raises:
        ValueError: ``intrinsics`` are not four numbers.
    """

    METAINFO = dict(classes=('depth',))

    def __init__(self, intrinsics: Sequence[float] | None = None, **kwargs):
        if intrinsics is not None and len(intrinsics) != 4:
            raise ValueError(f'DepthFolder: intrinsics is {intrinsics!r}, expected fx, fy, cx, cy')
        self.intrinsics = None if intrinsics is None else tuple(float(value) for value in intrinsics)
        super().__init__(**kwargs)

    def _get_category_id_from_filename(self, image_fname: str) -> int:
        """No category: only NYUv2 has its rooms in the names of the files."""
        return -1

    def load_data_list(self) -> list[dict]:
        """As mmseg's, with the camera in each item."""
        items = super().load_data_list()
        if self.intrinsics is not None:
            for item in items:
                item[INTRINSICS] = self.intrinsics
        return items


@TRANSFORMS.register_module()
class CameraResize(Resize):
    """mmseg's ``Resize``; the camera's ``intrinsics`` follow."""

    def transform(self, results: dict) -> dict:
        height, width = results['img'].shape[:2]
        results = super().transform(results)
        if INTRINSICS in results:
            new_height, new_width = results['img'].shape[:2]
            sx, sy = new_width / width, new_height / height
            fx, fy, cx, cy = results[INTRINSICS]
            # the pixels' centres are at whole numbers, so their corner is at -1/2
            results[INTRINSICS] = (fx * sx, fy * sy, (cx + 0.5) * sx - 0.5, (cy + 0.5) * sy - 0.5)
        return results


@TRANSFORMS.register_module()
class CameraRandomCrop(RandomCrop):
    """mmseg's ``RandomCrop``; the camera's ``intrinsics`` follow."""

    def crop_bbox(self, results: dict) -> tuple[int, int, int, int]:
        box = super().crop_bbox(results)
        if INTRINSICS in results:
            fx, fy, cx, cy = results[INTRINSICS]
            results[INTRINSICS] = (fx, fy, cx - box[2], cy - box[0])
        return box


@TRANSFORMS.register_module()
class CameraRandomFlip(RandomFlip):
    """mmseg's ``RandomFlip``; the camera's ``intrinsics`` follow: the image is then one of the mirrored scene."""

    def _flip(self, results: dict) -> None:
        super()._flip(results)
        if INTRINSICS in results:
            height, width = results['img'].shape[:2]
            fx, fy, cx, cy = results[INTRINSICS]
            if results['flip_direction'] in ('horizontal', 'diagonal'):
                cx = width - 1 - cx
            if results['flip_direction'] in ('vertical', 'diagonal'):
                cy = height - 1 - cy
            results[INTRINSICS] = (fx, fy, cx, cy)
