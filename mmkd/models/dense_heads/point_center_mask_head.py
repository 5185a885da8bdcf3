"""The head of CenterMask with point representation: objects as centres, masks from local shape and saliency."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmdet.models.utils import unpack_gt_instances
from mmdet.structures import DetDataSample
from mmdet.utils import reduce_mean
from mmengine.model import bias_init_with_prob
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmkd.registry import MODELS

from ..utils.traced_sizes import sizes_like
from .center_targets import CenterTargets, center_targets
from .mask_assembly import assemble_logits, cells_of_boxes, masks_at_stride
from .point_branch import PointBranch
from .point_mask_decoding import Centers, Frame, boxes_of_image, decode_centers, paste_point_masks

__all__ = ['PointCenterMaskHead', 'PointMaskMaps']

SALIENCIES = ('class_agnostic', 'class_specific')
RADII = ('cornernet', 'exact')
BOXES = ('gt', 'predicted')
BRANCHES = ('heatmap', 'offset', 'size', 'shape', 'saliency')


class PointMaskMaps(NamedTuple):
    """What the five branches give, (B, channels, H, W) each.

    Attributes:
        heatmap: Logits of an object of each class having its centre in a cell.
        offset: x and y of that centre in the cell, in cells.
        size: Width and height of the object, in cells.
        shape: Logits of the S x S mask of the object, row after row; None where they are made at single cells only.
        saliency: Logits of a cell being of some object (1 channel), or of one of each class.
    """

    heatmap: Tensor
    offset: Tensor
    size: Tensor
    shape: Tensor | None
    saliency: Tensor


@MODELS.register_module()
class PointCenterMaskHead(BaseDenseHead):
    """Five branches of a 3x3 and a 1x1 convolution on a map of stride 4, and what is made of them.

    The mask of an object is its local shape, resized to its box, times the global saliency in that box. Sources:
    CenterMask: Single Shot Instance Segmentation with Point Representation (Wang et al., CVPR 2020), and for centre,
    offset and size Objects as Points (Zhou et al. 2019).

    Logits of each branch can be tapped for distillation as ``bbox_head.heatmap_head``, ``bbox_head.shape_head``, ...

    Args:
        num_classes: Number of classes.
        in_channels: Channels of the map.
        feat_channels: Channels between the two convolutions of a branch.
        shape_size: S, the side of the local shape.
        saliency: ``'class_agnostic'``, one map, or ``'class_specific'``, one for each class.
        stride: Pixels a cell.
        num_stacks: How many maps the backbone gives, 2 for Hourglass-104. Each has branches of its own; the losses are
            the mean over all, and predictions are made from the last.
        gaussian_radius: ``'cornernet'``, as the paper, CenterNet and CornerNet have it, or ``'exact'``, the solution of
            the equations behind it, as mmdet has it; there with ``min_overlap=0.3``.
        min_overlap: IoU of boxes whose corners are off by the radius.
        mask_boxes: Where masks are assembled in training: ``'gt'``, in the boxes of the objects, or ``'predicted'``, in
            those that the network finds at their centres (no gradient flows into the boxes).
        binary_targets: Whether a cell that a mask covers in part counts as covered from one half on. By default the
            covered part is the target.
        max_masks_per_img: Masks to learn from in an image, chosen at random if there are more; None for all.
        loss_heatmap: Loss of the heatmap, see :class:`CenterFocalLoss`.
        loss_offset: Loss of the offset, mmdet's ``L1Loss`` or another of its regression losses.
        loss_size: Loss of the size, likewise.
        loss_mask: Loss of the assembled masks, see :class:`ProductMaskLoss`.
        loss_saliency: A loss of the saliency alone, against the union of the masks; None for none. The paper reports
            half a point for ``dict(type='CrossEntropyLoss', use_sigmoid=True)``.
        train_cfg: Unused.
        test_cfg: ``max_per_img`` (100), ``score_thr``, ``mask_thr`` (0.4), and ``local_maximum_kernel`` (3).
        init_cfg: mmengine's initialisation config.

    Raises:
        ValueError: An unknown option.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        feat_channels: int = 256,
        shape_size: int = 32,
        saliency: str = 'class_specific',
        stride: int = 4,
        num_stacks: int = 1,
        gaussian_radius: str = 'cornernet',
        min_overlap: float = 0.7,
        mask_boxes: str = 'gt',
        binary_targets: bool = False,
        max_masks_per_img: int | None = 128,
        loss_heatmap: dict | None = None,
        loss_offset: dict | None = None,
        loss_size: dict | None = None,
        loss_mask: dict | None = None,
        loss_saliency: dict | None = None,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg)
        _check_choice('saliency', saliency, SALIENCIES)
        _check_choice('gaussian_radius', gaussian_radius, RADII)
        _check_choice('mask_boxes', mask_boxes, BOXES)
        self.num_classes = num_classes
        self.shape_size = shape_size
        self.class_specific = saliency == 'class_specific'
        self.stride = stride
        self.num_stacks = num_stacks
        self.gaussian_radius, self.min_overlap = gaussian_radius, min_overlap
        self.mask_boxes, self.binary_targets = mask_boxes, binary_targets
        self.max_masks_per_img = max_masks_per_img
        self.train_cfg, self.test_cfg = train_cfg, test_cfg

        channels = (num_classes, 2, 2, shape_size**2, num_classes if self.class_specific else 1)
        for name, number in zip(BRANCHES, channels, strict=True):
            self.add_module(f'{name}_head', PointBranch(in_channels, feat_channels, number))
        self.auxiliary_heads = nn.ModuleList(
            nn.ModuleDict(
                {n: PointBranch(in_channels, feat_channels, c) for n, c in zip(BRANCHES, channels, strict=True)}
            )
            for _ in range(num_stacks - 1)
        )
        self.loss_heatmap = MODELS.build(loss_heatmap or dict(type='mmkd.CenterFocalLoss'))
        self.loss_offset = MODELS.build(loss_offset or dict(type='mmdet.L1Loss'))
        self.loss_size = MODELS.build(loss_size or dict(type='mmdet.L1Loss', loss_weight=0.1))
        self.loss_mask = MODELS.build(loss_mask or dict(type='mmkd.ProductMaskLoss'))
        self.loss_saliency = MODELS.build(loss_saliency) if loss_saliency else None

    def init_weights(self) -> None:
        """As CenterNet: biases of the branches at 0, that of the heatmap at the logit of 0.1."""
        super().init_weights()
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d):
                nn.init.zeros_(module.bias)
                if 'heatmap' in name and module.out_channels == self.num_classes and module.kernel_size == (1, 1):
                    nn.init.constant_(module.bias, bias_init_with_prob(0.1))

    # ----------------------------------------------------------------------------------------------------- forward

    def forward(self, x: Sequence[Tensor]) -> PointMaskMaps:
        """The branches on the last of the maps, those that predictions are made from.

        Args:
            x: ``num_stacks`` maps (B, in_channels, H, W).

        Raises:
            ValueError: Another number of maps.
        """
        self._check_number(x)
        return PointMaskMaps(**{name: branch(x[-1]) for name, branch in self._branches()[-1].items()})

    def forward_but_shapes(self, x: Sequence[Tensor]) -> PointMaskMaps:
        """As :meth:`forward`, with None in place of the shapes, which :meth:`shapes_at` gives where they are wanted."""
        self._check_number(x)
        return _all_but_shapes(self._branches()[-1], x[-1])

    def shapes_at(self, x: Sequence[Tensor], image: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """Logits of the local shapes (K, S * S) at cells, each given by three (K,)."""
        return self.shape_head.at(x[-1], image, row, column)

    def forward_all(self, x: Sequence[Tensor]) -> list[PointMaskMaps]:
        """The branches on each of the maps, the last one last."""
        self._check_number(x)
        stacks = zip(self._branches(), x, strict=True)
        return [PointMaskMaps(**{name: branch(y) for name, branch in branches.items()}) for branches, y in stacks]

    def _branches(self) -> list[dict[str, PointBranch]]:
        """Those on each of the maps, by name."""
        return [*map(dict, self.auxiliary_heads), {name: getattr(self, f'{name}_head') for name in BRANCHES}]

    def _check_number(self, x: Sequence[Tensor]) -> None:
        if len(x) != self.num_stacks:
            raise ValueError(
                f'PointCenterMaskHead: got {len(x)} maps, but num_stacks is {self.num_stacks}; it has to be the number '
                'of stacks of the backbone, or 1 for a neck that gives one map'
            )

    # -------------------------------------------------------------------------------------------------------- loss

    def loss(self, x: Sequence[Tensor], batch_data_samples: list[DetDataSample], **kwargs) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            x: ``num_stacks`` maps (B, in_channels, H, W).
            batch_data_samples: Ground truth of each image: ``bboxes``, ``labels`` and ``masks``.

        Returns:
            ``loss_heatmap``, ``loss_offset``, ``loss_size``, ``loss_mask``, and ``loss_saliency`` if there is one.
        """
        self._check_number(x)
        instances, _, _ = unpack_gt_instances(batch_data_samples)
        branches = self._branches()
        stacks = [_all_but_shapes(of_map, y) for of_map, y in zip(branches, x, strict=True)]
        targets, chosen, masks = self._targets(instances, stacks[0].heatmap.shape)
        # A map of S * S channels, of which a loss reads the columns at objects, would be the largest tensor of all.
        cells = targets.image[chosen], targets.row[chosen], targets.column[chosen]
        shapes = [of_map['shape'].at(y, *cells) for of_map, y in zip(branches, x, strict=True)]
        return self._losses(stacks, shapes, targets, chosen, masks)

    def loss_by_feat(self, stacks: list[PointMaskMaps], batch_gt_instances: list[InstanceData]) -> dict[str, Tensor]:
        """As :meth:`loss`, from what the branches gave."""
        targets, chosen, masks = self._targets(batch_gt_instances, stacks[0].heatmap.shape)
        shapes = [maps.shape[targets.image[chosen], :, targets.row[chosen], targets.column[chosen]] for maps in stacks]
        return self._losses(stacks, shapes, targets, chosen, masks)

    def _losses(self, stacks: list[PointMaskMaps], shapes: list[Tensor], targets, chosen, masks) -> dict[str, Tensor]:
        """The mean over the maps, in single precision, also under autocast; ``shapes`` (M, S * S) of chosen objects."""
        with torch.autocast(masks.device.type, enabled=False):
            losses = []
            for maps, shape in zip(stacks, shapes, strict=True):
                maps = PointMaskMaps(*(None if x is None else x.float() for x in maps))
                losses.append(self._loss_of_stack(maps, shape.float(), targets, chosen, masks))
        return {name: sum(loss[name] for loss in losses) / len(losses) for name in losses[0]}

    def _targets(self, batch_gt_instances, shape) -> tuple[CenterTargets, Tensor, Tensor]:
        """What the branches learn from, and :meth:`_mask_targets`."""
        with torch.autocast(batch_gt_instances[0].labels.device.type, enabled=False):
            targets = center_targets(batch_gt_instances, shape, self.stride, self.gaussian_radius, self.min_overlap)
            return targets, *self._mask_targets(targets, batch_gt_instances, shape)

    def _mask_targets(self, targets: CenterTargets, batch_gt_instances, shape) -> tuple[Tensor, Tensor]:
        """Which of the objects to learn masks from (M,), and how much of each cell they cover (M, H, W)."""
        device = targets.heatmap.device
        image, number = torch.stack([targets.image, targets.number]).cpu()  # the masks are on the host as well
        chosen, masks = [], []
        for i, instances in enumerate(batch_gt_instances):
            mine = (image == i).nonzero()[:, 0]
            if self.max_masks_per_img is not None and len(mine) > self.max_masks_per_img:
                mine = mine[torch.randperm(len(mine))[: self.max_masks_per_img].sort()[0]]
            chosen.append(mine)
            masks.append(masks_at_stride(instances.masks, number[mine], *shape[-2:], self.stride, device))
        masks = torch.cat(masks)
        return torch.cat(chosen).to(device), (masks >= 0.5).float() if self.binary_targets else masks

    def _loss_of_stack(self, maps: PointMaskMaps, shapes: Tensor, targets, chosen, masks) -> dict[str, Tensor]:
        # Of all processes together, so that an object counts the same wherever it is.
        count = reduce_mean(maps.heatmap.new_tensor(float(len(targets.image))))
        at = (targets.image, slice(None), targets.row, targets.column)
        both = 2 * count + 1e-4  # each has an x and a y
        losses = dict(
            loss_heatmap=self.loss_heatmap(
                maps.heatmap, targets.heatmap, reduce_mean((targets.heatmap == 1).sum().float()).clamp(min=1)
            ),
            loss_offset=self.loss_offset(maps.offset[at], targets.offset, avg_factor=both),
            loss_size=self.loss_size(maps.size[at], targets.size, avg_factor=both),
            loss_mask=self._mask_loss(maps, shapes, targets, chosen, masks),
        )
        if self.loss_saliency is not None:
            target = self._saliency_target(maps.saliency.shape, targets, chosen, masks)
            losses['loss_saliency'] = self.loss_saliency(maps.saliency, target)
        return losses

    def _mask_loss(self, maps: PointMaskMaps, shapes: Tensor, targets, chosen: Tensor, masks: Tensor) -> Tensor:
        image, row, column = targets.image[chosen], targets.row[chosen], targets.column[chosen]
        boxes = targets.box[chosen]
        if self.mask_boxes == 'predicted':
            at = (image, slice(None), row, column)
            center = torch.stack([column, row], 1) + maps.offset[at].detach()
            half = maps.size[at].detach().clamp(min=1) / 2
            boxes = torch.cat([center - half, center + half], 1)
        height, width = masks.shape[-2:]
        cells = cells_of_boxes(boxes, height, width)
        shapes = shapes.view(-1, self.shape_size, self.shape_size)
        plane = self._saliency_plane(image, targets.label[chosen])
        local, saliency = assemble_logits(shapes, maps.saliency.flatten(0, 1), boxes, plane, cells)
        target = masks[cells.box, cells.row, cells.column]
        count = reduce_mean(masks.new_tensor(float(len(chosen)))).clamp(min=1)
        return self.loss_mask(local, saliency, target, cells.box, cells.count, count)

    def _saliency_plane(self, image: Tensor, label: Tensor) -> Tensor:
        return image * self.num_classes + label if self.class_specific else image

    def _saliency_target(self, shape, targets: CenterTargets, chosen: Tensor, masks: Tensor) -> Tensor:
        union = masks.new_zeros(shape[0] * shape[1], masks[0:0].flatten(1).shape[1])
        plane = self._saliency_plane(targets.image[chosen], targets.label[chosen])
        union.scatter_reduce_(0, plane[:, None].expand(-1, union.shape[1]), masks.flatten(1), 'amax')
        return union.view(shape)

    # -------------------------------------------------------------------------------------------------- prediction

    def predict_by_feat(
        self,
        *maps: Tensor | None,
        batch_img_metas: list[dict],
        rescale: bool = False,
        cfg: dict | None = None,
        shapes_at: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None,
    ) -> list[InstanceData]:
        """Instances of each image, found as peaks of the heatmap, without NMS.

        Args:
            maps: What :meth:`forward` gave.
            batch_img_metas: Meta information of each image.
            rescale: Whether boxes and masks are of the original image or of the network's input.
            cfg: In place of ``test_cfg``.
            shapes_at: Gives the shapes (K, S * S) at cells of which it is told image, row and column, (K,) each; by
                default they are read from their map.

        Returns:
            For each image ``bboxes`` (n, 4), ``scores`` (n,), ``labels`` (n,), ``masks`` (n, H, W) bool, and ``cells``
            (n, 2), row and column of the centre on the maps; the highest score first.
        """
        maps = PointMaskMaps(*maps)
        boxes = self.predict_boxes_by_feat(maps, batch_img_metas, rescale, cfg)
        return self.predict_masks_by_feat(maps, boxes, batch_img_metas, rescale, cfg, shapes_at)

    def predict_boxes_by_feat(
        self, maps: PointMaskMaps, batch_img_metas: list[dict], rescale: bool = False, cfg: dict | None = None
    ) -> list[InstanceData]:
        """The first half of :meth:`predict_by_feat`: all but the masks, see :func:`boxes_of_image`."""
        cfg = cfg or self.test_cfg or {}
        centers = self.find_centers(maps, batch_img_metas, cfg).of_images(cfg.get('score_thr', 0.0))
        images = zip(centers, batch_img_metas, strict=True)
        return [boxes_of_image(found, Frame.of(meta, self.stride, rescale)) for found, meta in images]

    def find_centers(self, maps: PointMaskMaps, batch_img_metas: list[dict], cfg: dict | None = None) -> Centers:
        """The ``max_per_img`` likeliest centres of each image, whatever they score."""
        cfg = cfg or self.test_cfg or {}
        with torch.autocast(maps.heatmap.device.type, enabled=False):
            return decode_centers(
                self._probabilities_in_images(maps.heatmap.float(), batch_img_metas),
                maps.offset.float(),
                maps.size.float(),
                cfg.get('max_per_img', 100),
                cfg.get('local_maximum_kernel', 3),
                smallest=1 / self.stride,
            )

    def predict_masks_by_feat(
        self,
        maps: PointMaskMaps,
        results_list: list[InstanceData],
        batch_img_metas: list[dict],
        rescale: bool = False,
        cfg: dict | None = None,
        shapes_at: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None,
    ) -> list[InstanceData]:
        """The second half: masks of what the first gave, or of a selection of it in any order."""
        counts = [len(results) for results in results_list]
        image = torch.cat(
            [results.labels.new_full((n,), i) for i, (results, n) in enumerate(zip(results_list, counts, strict=True))]
        )
        row, column = torch.cat([results.cells for results in results_list]).unbind(1)
        shapes = maps.shape[image, :, row, column] if shapes_at is None else shapes_at(image, row, column)
        shapes = shapes.float().view(-1, self.shape_size, self.shape_size).split(counts)
        mask_thr = (cfg or self.test_cfg or {}).get('mask_thr', 0.4)
        with torch.autocast(maps.heatmap.device.type, enabled=False):
            images = zip(results_list, shapes, maps.saliency.float(), batch_img_metas, strict=True)
            for results, own, saliency, meta in images:
                plane = results.labels if self.class_specific else torch.zeros_like(results.labels)
                frame = Frame.of(meta, self.stride, rescale)
                results.masks = paste_point_masks(own, saliency, results.pop('map_bboxes'), plane, frame, mask_thr)
        return results_list

    def _probabilities_in_images(self, heatmap: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Of having a centre in a cell; 0 in the padding, whose peaks would take the place of objects."""
        sides = torch.stack([sizes_like(meta['img_shape'][:2], heatmap) for meta in batch_img_metas]) / self.stride
        inside_y = torch.arange(heatmap.shape[-2], device=heatmap.device) < sides[:, :1]
        inside_x = torch.arange(heatmap.shape[-1], device=heatmap.device) < sides[:, 1:]
        return heatmap.sigmoid() * (inside_y[:, None, :, None] & inside_x[:, None, None, :])


def _all_but_shapes(branches: dict[str, PointBranch], x: Tensor) -> PointMaskMaps:
    return PointMaskMaps(**{name: None if name == 'shape' else branch(x) for name, branch in branches.items()})


def _check_choice(key: str, value, choices) -> None:
    if value not in choices:
        raise ValueError(f'PointCenterMaskHead: {key} is {value!r}, expected one of {", ".join(map(repr, choices))}')
