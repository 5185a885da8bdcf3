"""Images of a folder, without labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.dataset import BaseDataset

from mmkd.registry import DATASETS, TRANSFORMS
from mmkd.utils.files import IMAGE_SUFFIXES

__all__ = ['ImageFolder', 'LoadNoLabels']

IGNORED = 255


@DATASETS.register_module()
class ImageFolder(BaseDataset):
    """All images in a folder and the folders below it, for :class:`UnlabelledDataset`.

    Args:
        root: The folder.
        pipeline: Of transforms; none that loads annotations is needed.
        **kwargs: As of mmengine's ``BaseDataset``.

    Raises:
        FileNotFoundError: There is no image in it.
    """

    def __init__(self, root: str, pipeline=(), **kwargs):
        self.root = Path(root)
        super().__init__(pipeline=list(pipeline), serialize_data=False, **kwargs)

    def load_data_list(self) -> list[dict]:
        """A dict for each image, in the order of the names."""
        paths = sorted(path for path in self.root.rglob('*') if path.suffix.lower() in IMAGE_SUFFIXES)
        if not paths:
            raise FileNotFoundError(f'ImageFolder: root: {str(self.root)!r} holds no images')
        empty = dict(instances=[], seg_fields=[], reduce_zero_label=False)  # what transforms look for
        return [dict(img_path=str(path), img_id=index, **empty) for index, path in enumerate(paths)]


@TRANSFORMS.register_module()
class LoadNoLabels(BaseTransform):
    """Stands in a pipeline where labels are loaded, for images without: no pixel has a class.

    Some transforms look at the label map, as a crop that no class may fill.
    """

    def transform(self, results: dict) -> dict:
        """Adds ``gt_seg_map`` (H, W), 255 everywhere."""
        results['gt_seg_map'] = np.full(results['img'].shape[:2], IGNORED, np.uint8)
        results['seg_fields'] = ['gt_seg_map']
        return results
