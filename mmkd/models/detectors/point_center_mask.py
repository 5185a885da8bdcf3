"""CenterMask with point representation: one shot, no boxes to suppress."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from mmkd.models.dense_heads.point_center_mask_head import PointMaskMaps
from mmkd.registry import MODELS

from .boxes_then_masks import BoxesThenMasks

__all__ = ['PointCenterMask']


@MODELS.register_module()
class PointCenterMask(BoxesThenMasks):
    """Instance segmentation from object centres, local shapes and a global saliency (Wang et al., CVPR 2020).

    Not to be confused with :class:`CenterMask` (Lee & Park 2020), which is FCOS with a mask branch.

    Args:
        backbone: Config of the backbone; one that gives maps of stride 4 (a stacked hourglass) needs no neck.
        neck: Config of the neck, or None.
        bbox_head: Config of the head, see :class:`PointCenterMaskHead`.
        train_cfg: Unused.
        test_cfg: That of the head, and ``flip_test``: whether each image is seen flipped as well, and what the branches
            give is averaged before anything is decided. There is no NMS then either.
        data_preprocessor: Config of the data preprocessor. It has to pad images to multiples of what the backbone
            divides them by.
        init_cfg: Initialisation config.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict | None = None,
        bbox_head: dict | None = None,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ):
        # the base class writes the configs below into that of the head
        bbox_head = copy.deepcopy(bbox_head)
        super().__init__(backbone, neck, bbox_head, train_cfg, test_cfg, data_preprocessor, init_cfg)

    def predict_boxes(
        self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample], rescale: bool = True
    ) -> tuple[tuple[PointMaskMaps, Callable], list[InstanceData]]:
        """The first half of :meth:`predict`: the maps, the function that makes shapes, and the boxes."""
        maps, shapes_at = self.maps_and_shapes(batch_inputs)
        metas = [sample.metainfo for sample in batch_data_samples]
        return (maps, shapes_at), self.bbox_head.predict_boxes_by_feat(maps, metas, rescale)

    def predict_masks(
        self,
        features: tuple[PointMaskMaps, Callable],
        results_list: list[InstanceData],
        batch_data_samples: list[DetDataSample],
        rescale: bool = True,
    ) -> list[InstanceData]:
        """The second half of :meth:`predict`."""
        maps, shapes_at = features
        metas = [sample.metainfo for sample in batch_data_samples]
        return self.bbox_head.predict_masks_by_feat(maps, results_list, metas, rescale, shapes_at=shapes_at)

    def predict_maps(self, batch_inputs: Tensor) -> PointMaskMaps:
        """What the branches give, averaged with that of the flipped images if ``test_cfg.flip_test`` is set."""
        maps = self.bbox_head(self.extract_feat(batch_inputs))
        if not self._flip_test:
            return maps
        flipped = self.bbox_head(self.extract_feat(batch_inputs.flip(-1)))
        return average_with_flipped(maps, flipped, self.bbox_head.shape_size)

    @property
    def _flip_test(self) -> bool:
        return (self.test_cfg or {}).get('flip_test', False)

    def maps_and_shapes(self, batch_inputs: Tensor) -> tuple[PointMaskMaps, Callable]:
        """As :meth:`predict_maps` but for the shapes, and the function that makes these at single cells."""
        head = self.bbox_head
        x = self.extract_feat(batch_inputs)
        maps = head.forward_but_shapes(x)
        if not self._flip_test:
            return maps, partial(head.shapes_at, x)
        x_flipped = self.extract_feat(batch_inputs.flip(-1))
        width = maps.heatmap.shape[-1]

        def shapes_at(image: Tensor, row: Tensor, column: Tensor) -> Tensor:
            flipped = head.shapes_at(x_flipped, image, row, width - 1 - column)
            return (head.shapes_at(x, image, row, column) + mirrored_shapes(flipped, head.shape_size)) / 2

        maps = average_with_flipped(maps, head.forward_but_shapes(x_flipped), head.shape_size)
        return maps, shapes_at


def average_with_flipped(maps: PointMaskMaps, flipped: PointMaskMaps, shape_size: int) -> PointMaskMaps:
    """Averages the maps of images with those of the same images flipped left to right.

    Heatmap and saliency are averaged as probabilities, sizes as they are, shapes as logits, and offsets are those of
    the image itself, as in CenterNet.

    Args:
        maps: Of the images. Without shapes the result has none either.
        flipped: Of the flipped images.
        shape_size: S.

    Returns:
        Maps of the images.
    """
    back = PointMaskMaps(*(None if x is None else x.flip(-1) for x in flipped))
    return PointMaskMaps(
        _mean_of_probabilities(maps.heatmap, back.heatmap),
        maps.offset,
        (maps.size + back.size) / 2,
        None if maps.shape is None else (maps.shape + mirrored_shapes(back.shape, shape_size)) / 2,
        _mean_of_probabilities(maps.saliency, back.saliency),
    )


def mirrored_shapes(shapes: Tensor, shape_size: int) -> Tensor:
    """Shapes (N, S * S, ...), row after row, with left and right exchanged within each."""
    return shapes.unflatten(1, (shape_size, shape_size)).flip(2).flatten(1, 2)


def _mean_of_probabilities(first: Tensor, second: Tensor) -> Tensor:
    """The logit of the mean of two probabilities, exact also where they round to 0 or 1."""
    first, second = first.float(), second.float()
    log_p = torch.logaddexp(torch.nn.functional.logsigmoid(first), torch.nn.functional.logsigmoid(second))
    log_not_p = torch.logaddexp(torch.nn.functional.logsigmoid(-first), torch.nn.functional.logsigmoid(-second))
    return log_p - log_not_p
