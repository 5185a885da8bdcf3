"""RoI features, each from the pyramid level that suits the RoI's share of the image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from torch import Tensor, nn

from mmkd.compat_ops import refuse_export
from mmkd.registry import MODELS

from ...utils.traced_sizes import sizes_like

_EPS = torch.finfo(torch.float64).eps


def ratio_levels(boxes: Tensor, image_areas: Tensor, min_level: int, max_level: int) -> Tensor:
    """The pyramid level of each box by its share of the image (CenterMask, Lee & Park 2020, eq. 1).

    ``k = ceil(k_max - log2(A_image / A_box))``, clamped to ``[k_min, k_max]``: a box over half of the image goes to the
    coarsest level, over a quarter to the next, and so on. A box without area goes to the finest level.

    Args:
        boxes: (N, 4), x1, y1, x2, y2 in pixels, not clipped to the image.
        image_areas: (N,), area in pixels of the image of each box, without padding.
        min_level: ``k_min``, the finest level (3 for stride 8).
        max_level: ``k_max``, the coarsest level.

    Returns:
        (N,) int64, levels between ``min_level`` and ``max_level``.
    """
    levels = torch.ceil(max_level - torch.log2(image_areas / _box_areas(boxes) + _EPS))
    return levels.clamp(min_level, max_level).long()


def area_levels(
    boxes: Tensor, min_level: int, max_level: int, canonical_box_size: float = 224, canonical_level: int = 4
) -> Tensor:
    """The pyramid level of each box by its size in pixels (FPN, Lin et al. 2017, eq. 1).

    ``k = floor(k_0 + log2(sqrt(A_box) / 224))``, clamped to ``[k_min, k_max]``.

    Args:
        boxes: (N, 4), x1, y1, x2, y2 in pixels.
        min_level: ``k_min``, the finest level.
        max_level: ``k_max``, the coarsest level.
        canonical_box_size: Side in pixels of the square box that belongs to ``canonical_level``.
        canonical_level: ``k_0``.

    Returns:
        (N,) int64, levels between ``min_level`` and ``max_level``.
    """
    sizes = _box_areas(boxes).sqrt()
    levels = torch.floor(canonical_level + torch.log2(sizes / canonical_box_size + _EPS))
    return levels.clamp(min_level, max_level).long()


def _box_areas(boxes: Tensor) -> Tensor:
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0)
    return sides[:, 0] * sides[:, 1]


def pool_by_level(feats: Sequence[Tensor], rois: Tensor, levels: Tensor, layers: Sequence[nn.Module]) -> Tensor:
    """Pools each RoI from the feature map of its level.

    Args:
        feats: One (B, C, H, W) map per level.
        rois: (N, 5), image index, x1, y1, x2, y2.
        levels: (N,) which of the maps each is pooled from.
        layers: The pooling layer of each level.

    Returns:
        (N, C, h, w). It depends on every feature map, also where no RoI fell on it.
    """
    # A RoI of no size on each level, left out of the result. Without it a level that no RoI fell on would be a case
    # of its own (the pooling on CUDA takes no empty list, and the feature map needs a gradient all the same), and a
    # traced graph would be wrong for images where one does.
    nothing = rois.new_zeros(1, 5)
    pooled = feats[0].new_zeros(rois.shape[0], feats[0].shape[1], *layers[0].output_size)
    for i, (feat, layer) in enumerate(zip(feats, layers, strict=True)):
        chosen = (levels == i).nonzero().squeeze(1)
        # RoIAlign of mmcv reads the memory as it lies: channels-last features would come out scrambled.
        rows = layer(feat.contiguous(), torch.cat([rois[chosen], nothing]))
        pooled.index_copy_(0, chosen, rows[:-1].to(pooled.dtype))
    return pooled


@MODELS.register_module()
class AdaptiveRoIExtractor(SingleRoIExtractor):
    """Pools each RoI from one pyramid level, chosen by the RoI's share of the image.

    mmdet's extractor knows the RoIs but not the size of their images. It is given here as ``img_shapes`` to
    :meth:`forward`. Without it, as when the extractor is part of an mmdet ``StandardRoIHead``, the size of the padded
    batch is taken instead (size of the finest feature map times its stride): RoIs of the images that are smaller than
    the batch then tend to finer levels.

    The level is found from RoIs in float32, and RoIAlign runs in float32 even where the features are of half
    precision (the result has the type of the features): coordinates beyond 2048 pixels would otherwise be off by
    one in float16, beyond 256 in bfloat16.

    Args:
        roi_layer: Config of the pooling layer, such as ``dict(type='RoIAlign', output_size=14, sampling_ratio=0)``.
        out_channels: Channels of the features.
        featmap_strides: Strides of the levels, each twice the one before, e.g. ``[8, 16, 32]``. Their logarithms are
            the levels' numbers: 3 to 5.
        assign: ``'ratio'`` (CenterMask, :func:`ratio_levels`) or ``'area'`` (FPN, :func:`area_levels`).
        canonical_box_size: See :func:`area_levels`; not used by ``'ratio'``.
        canonical_level: See :func:`area_levels`; not used by ``'ratio'``.
        init_cfg: Initialisation config.

    Raises:
        ValueError: If ``assign`` is unknown or a stride is not twice the one before.
    """

    def __init__(
        self,
        roi_layer: dict,
        out_channels: int,
        featmap_strides: Sequence[int],
        assign: str = 'ratio',
        canonical_box_size: float = 224,
        canonical_level: int = 4,
        init_cfg: dict | None = None,
    ):
        levels = [round(math.log2(stride)) for stride in featmap_strides]
        expected = [2 ** (levels[0] + i) for i in range(len(levels))]
        if list(featmap_strides) != expected:
            raise ValueError(
                f'mask_roi_extractor.featmap_strides: got {list(featmap_strides)}, expected powers of two, each twice '
                'the one before, such as [8, 16, 32]'
            )
        if assign not in ('ratio', 'area'):
            raise ValueError(f"mask_roi_extractor.assign: got {assign!r}, expected 'ratio' or 'area'")
        finest_scale = canonical_box_size * 2 ** (levels[0] - canonical_level)
        super().__init__(roi_layer, out_channels, featmap_strides, finest_scale=finest_scale, init_cfg=init_cfg)
        self.assign = assign
        self.min_level, self.max_level = levels[0], levels[-1]
        self.canonical_box_size = canonical_box_size
        self.canonical_level = canonical_level

    def map_roi_levels(self, rois: Tensor, num_levels: int, image_areas: Tensor | None = None) -> Tensor:
        """The index of the feature map each RoI is pooled from.

        Args:
            rois: (N, 5), image index, x1, y1, x2, y2.
            num_levels: Number of feature maps.
            image_areas: (B,), areas of the images of the batch; needed by ``assign='ratio'``.

        Returns:
            (N,) int64 in ``[0, num_levels)``.
        """
        rois = rois.float()
        max_level = self.min_level + num_levels - 1
        if self.assign == 'ratio':
            levels = ratio_levels(rois[:, 1:], image_areas[rois[:, 0].long()], self.min_level, max_level)
        else:
            levels = area_levels(rois[:, 1:], self.min_level, max_level, self.canonical_box_size, self.canonical_level)
        return levels - self.min_level

    def forward(
        self,
        feats: Sequence[Tensor],
        rois: Tensor,
        roi_scale_factor: float | None = None,
        img_shapes: Sequence[tuple] | None = None,
    ) -> Tensor:
        """Pools the RoIs.

        Args:
            feats: One (B, C, H, W) map per level, finest first.
            rois: (N, 5), image index, x1, y1, x2, y2 in pixels of the network's input.
            roi_scale_factor: Factor on the RoIs' sides before pooling; the levels are those of the RoIs as given.
            img_shapes: (height, width) of each image of the batch before padding (``img_shape`` of its metainfo).

        Returns:
            (N, C, h, w) with the type of the features. It depends on every feature map, also where no RoI fell on
            it, so that no parameter is left without a gradient in distributed training.
        """
        refuse_export('RoIAlign of mmcv', 'export the network up to its feature maps')
        dtype = torch.promote_types(feats[0].dtype, torch.float32)
        levels = self.map_roi_levels(rois, len(feats), self._image_areas(feats, img_shapes))
        if roi_scale_factor is not None:
            rois = self.roi_rescale(rois, roi_scale_factor)
        return pool_by_level([feat.to(dtype) for feat in feats], rois.to(dtype), levels, self.roi_layers).to(
            feats[0].dtype
        )

    def _image_areas(self, feats: Sequence[Tensor], img_shapes: Sequence[tuple] | None) -> Tensor:
        if img_shapes is None:
            height, width = (size * self.featmap_strides[0] for size in feats[0].shape[-2:])
            return torch.ones(feats[0].shape[0], device=feats[0].device) * (height * width)
        return sizes_like([shape[0] * shape[1] for shape in img_shapes], feats[0].new_empty(0, dtype=torch.float32))
