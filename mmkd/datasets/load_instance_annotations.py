"""Loading instance masks in the form in which the annotation file has them."""

from __future__ import annotations

from mmdet.datasets.transforms import LoadAnnotations

from mmkd.registry import TRANSFORMS

__all__ = ['LoadInstanceAnnotations']


@TRANSFORMS.register_module()
class LoadInstanceAnnotations(LoadAnnotations):
    """mmdet's ``LoadAnnotations`` with boxes and masks, where ``poly2mask`` follows from each image's masks.

    Polygons stay polygons, which are exact and small. mmdet's step, told to keep them, ignores every object with a
    run-length mask without a word: an image that has such an object gets bitmaps instead. Crowds do not count: they
    are run-length coded in COCO itself, and ignored on purpose.

    Args:
        with_mask: Whether masks are loaded.
        **kwargs: As for mmdet's ``LoadAnnotations``; no ``poly2mask``.

    Raises:
        TypeError: ``poly2mask`` is given.
    """

    def __init__(self, with_mask: bool = True, **kwargs):
        if 'poly2mask' in kwargs:
            raise TypeError("LoadInstanceAnnotations: poly2mask is chosen from the masks; 'LoadAnnotations' has it")
        super().__init__(with_mask=with_mask, poly2mask=False, **kwargs)

    def _load_masks(self, results: dict) -> None:
        self.poly2mask = any(
            isinstance(instance.get('mask'), dict) and not instance['ignore_flag']
            for instance in results.get('instances', [])
        )
        super()._load_masks(results)
