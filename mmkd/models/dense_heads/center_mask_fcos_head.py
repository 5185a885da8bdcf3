"""The FCOS box head of CenterMask, which also proposes the boxes its mask branch is trained on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmcv.ops import batched_nms
from mmdet.models.dense_heads import FCOSHead
from mmdet.structures.bbox import get_box_tensor, get_box_wh, scale_boxes
from mmdet.utils import reduce_mean
from mmengine.structures import InstanceData
from torch import Tensor

from mmkd.registry import MODELS

from ..losses import LTRBIoULoss
from .fcos_targets import Positives, fcos_targets

_BBOX_REGS = ('relu_stride', 'exp_pixel')


@MODELS.register_module()
class CenterMaskFCOSHead(FCOSHead):
    """FCOS head with the outputs, losses and box selection of CenterMask.

    The network and the targets are those of mmdet's ``FCOSHead`` with centre sampling. What differs:

    * Regressed distances are in units of the stride in training *and* in testing. mmdet multiplies by the stride in
      eval mode only, which makes boxes predicted while training, the proposals of the mask branch, 8 to 128 times too
      small.
    * The loss compares distances, smoothed by one (:class:`LTRBIoULoss`), instead of decoded boxes.
    * A box scores ``sqrt(p * c)`` with class probability p and centreness c. The root changes no box ranking, but
      mask scores (score times mask IoU) and score thresholds.
    * Candidates are ``p > score_thr``; of more than ``nms_pre`` on a level those with the largest ``p * c`` stay.
    * Boxes are not clipped to the image: features are pooled from the whole box. ``bbox_coder`` switches it on.

    One quirk of the original is left out: there an image loses all its positives when the first box is centred on
    x = 0, since that sum stands for "no boxes".

    Keys of ``test_cfg`` and of the proposals' config: ``score_thr``, ``nms_pre`` (-1 for all), ``nms``,
    ``max_per_img``, ``min_bbox_size`` (-1 for none) and ``with_points`` (also return the location of each box).

    Args:
        num_classes: Number of classes.
        in_channels: Channels of the feature levels.
        strides: Strides of the levels.
        bbox_reg: ``'relu_stride'``: distances are ``ReLU(scale * x)`` strides, as in centermask2. ``'exp_pixel'``:
            ``exp(scale * x)`` pixels, as in the first CenterMask.
        sqrt_score: Whether boxes score ``sqrt(p * c)`` or, as in the first CenterMask, ``p * c``.
        thresh_with_ctr: Whether ``score_thr`` applies to ``p * c`` instead of to p.
        loss_bbox: :class:`LTRBIoULoss`, or a loss of mmdet's on boxes (x1, y1, x2, y2).
        bbox_coder: Turns distances into boxes.
        kwargs: Further arguments of mmdet's ``FCOSHead``, e.g. ``feat_channels``, ``stacked_convs``, ``norm_cfg``.

    Raises:
        ValueError: If ``bbox_reg`` is unknown, ``norm_on_bbox`` is given, or ``loss_cls`` is not a sigmoid loss.

    Source: FCOS (Tian et al. 2019); CenterMask (Lee & Park 2020); centermask2.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        strides: Sequence[int] = (8, 16, 32, 64, 128),
        center_sampling: bool = True,
        centerness_on_reg: bool = True,
        conv_bias: bool | str = True,
        bbox_reg: str = 'relu_stride',
        sqrt_score: bool = True,
        thresh_with_ctr: bool = False,
        loss_bbox: dict = dict(type='mmkd.LTRBIoULoss', mode='giou', loss_weight=1.0),  # noqa: B006
        bbox_coder: dict = dict(type='DistancePointBBoxCoder', clip_border=False),  # noqa: B006
        **kwargs,
    ):
        if bbox_reg not in _BBOX_REGS:
            raise ValueError(f'bbox_head.bbox_reg: expected one of {_BBOX_REGS}, got {bbox_reg!r}')
        if 'norm_on_bbox' in kwargs:
            raise ValueError("bbox_head.norm_on_bbox: set bbox_reg='relu_stride' (True) or 'exp_pixel' (False) instead")
        super().__init__(
            num_classes,
            in_channels,
            strides=strides,
            center_sampling=center_sampling,
            centerness_on_reg=centerness_on_reg,
            norm_on_bbox=bbox_reg == 'relu_stride',
            conv_bias=conv_bias,
            loss_bbox=loss_bbox,
            bbox_coder=bbox_coder,
            **kwargs,
        )
        if not self.use_sigmoid_cls:
            raise ValueError('bbox_head.loss_cls.use_sigmoid: expected True, a box is scored class by class')
        self.bbox_reg = bbox_reg
        self.sqrt_score = sqrt_score
        self.thresh_with_ctr = thresh_with_ctr

    def forward_single(self, x: Tensor, scale: torch.nn.Module, stride: int) -> tuple[Tensor, Tensor, Tensor]:
        """Outputs of one level, the same in training and in testing.

        Args:
            x: Feature level (N, C, H, W).
            scale: Learnable factor of this level's regression.
            stride: Stride of the level, unused: distances stay in its units.

        Returns:
            Class logits (N, num_classes, H, W), distances left, top, right, bottom (N, 4, H, W) in strides (in pixels
            for ``bbox_reg='exp_pixel'``), and centreness logits (N, 1, H, W).
        """
        cls_score, bbox_pred, cls_feat, reg_feat = super(FCOSHead, self).forward_single(x)
        centerness = self.conv_centerness(reg_feat if self.centerness_on_reg else cls_feat)
        bbox_pred = scale(_at_least_single(bbox_pred))
        bbox_pred = bbox_pred.relu() if self.norm_on_bbox else bbox_pred.exp()
        return cls_score, bbox_pred, centerness

    def loss_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        centernesses: list[Tensor],
        batch_gt_instances: list[InstanceData],
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: list[InstanceData] | None = None,
    ) -> dict[str, Tensor]:
        """Losses of the outputs of :meth:`forward`, in float32 whatever their precision.

        With P positives and the sum of their centreness targets S, both averaged over processes, ``loss_cls`` is the
        focal loss summed over locations and classes / P, ``loss_bbox`` the box loss weighted by the centreness target
        / S, ``loss_centerness`` the binary cross-entropy / P. Without positives the last two are zero and still reach
        every parameter, so that DDP finds none unused.

        Args:
            cls_scores: Class logits of each level (N, num_classes, H, W).
            bbox_preds: Distances of each level (N, 4, H, W).
            centernesses: Centreness logits of each level (N, 1, H, W).
            batch_gt_instances: ``bboxes`` and ``labels`` of each image, in input pixels.
            batch_img_metas: Unused.
            batch_gt_instances_ignore: Unused.

        Returns:
            ``loss_cls``, ``loss_bbox`` and ``loss_centerness``.
        """
        positives = self.find_positives(cls_scores, batch_gt_instances)
        distances, targets, centerness = self._positive_outputs(bbox_preds, centernesses, positives)
        return {
            'loss_cls': self.loss_cls(_flatten_levels(cls_scores), positives.labels, avg_factor=positives.count),
            'loss_bbox': self.loss_bbox(
                distances, targets, weight=positives.centerness, avg_factor=positives.centerness_sum
            ),
            'loss_centerness': self.loss_centerness(centerness, positives.centerness, avg_factor=positives.count),
        }

    def find_positives(self, cls_scores: list[Tensor], batch_gt_instances: list[InstanceData]) -> Positives:
        """The positive locations of a batch.

        Args:
            cls_scores: Maps (N, C, H, W) of the size and the device of the levels.
            batch_gt_instances: ``bboxes`` and ``labels`` of each image, in input pixels.
        """
        points = self.prior_generator.grid_priors(
            [level.shape[-2:] for level in cls_scores],
            dtype=_at_least_single(cls_scores[0]).dtype,
            device=cls_scores[0].device,
        )
        labels, targets = (torch.cat(levels) for levels in self.get_targets(points, batch_gt_instances))
        index = (labels < self.num_classes).nonzero().squeeze(1)
        targets = targets[index]
        centerness = self.centerness_target(targets)
        # Both normalisers in one reduction, and neither is read on the host.
        count, centerness_sum = reduce_mean(torch.stack([centerness.new_tensor(len(index)), centerness.sum()]))
        return Positives(labels, index, targets, centerness, count.clamp(min=1.0), centerness_sum.clamp(min=1e-6))

    def positive_losses(
        self, bbox_preds: list[Tensor], centernesses: list[Tensor], positives: Positives
    ) -> tuple[Tensor, Tensor]:
        """The share of each positive location in ``loss_bbox`` and in ``loss_centerness`` of :meth:`loss_by_feat`.

        For losses that look at single locations, such as distillation, also with the outputs of another head of the
        same strides and ``bbox_reg``.

        Args:
            bbox_preds: Distances of each level (N, 4, H, W).
            centernesses: Centreness logits of each level (N, 1, H, W).
            positives: What :meth:`find_positives` found.

        Returns:
            Two tensors (P,), whose sums are the losses of the batch.
        """
        distances, targets, centerness = self._positive_outputs(bbox_preds, centernesses, positives)
        boxes = self.loss_bbox(distances, targets, weight=positives.centerness, reduction_override='none')
        centers = self.loss_centerness(centerness, positives.centerness, reduction_override='none')
        return boxes / positives.centerness_sum, centers / positives.count

    def _positive_outputs(
        self, bbox_preds: list[Tensor], centernesses: list[Tensor], positives: Positives
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Predicted and true distances (P, 4), as ``loss_bbox`` takes them, and centreness logits (P,)."""
        distances, targets = _flatten_levels(bbox_preds)[positives.index], positives.distances
        if not isinstance(self.loss_bbox, LTRBIoULoss):
            # The box around its location, for losses that compare boxes. IoUs do not depend on where it lies.
            corners = distances.new_tensor([-1, -1, 1, 1])
            distances, targets = distances * corners, targets * corners
        return distances, targets, _flatten_levels(centernesses)[positives.index].squeeze(1)

    def _get_targets_single(
        self, gt_instances: InstanceData, points: Tensor, regress_ranges: Tensor, num_points_per_lvl: list[int]
    ) -> tuple[Tensor, Tensor]:
        """Labels (P,) and distances (P, 4) in pixels of all locations of one image, see :func:`fcos_targets`.

        Args:
            gt_instances: ``bboxes`` (G, 4) and ``labels`` (G,).
            points: Locations of all levels (P, 2).
            regress_ranges: Smallest and largest regressed distance of each location (P, 2).
            num_points_per_lvl: Locations of each level.
        """
        radii = None
        if self.center_sampling:
            levels = zip(num_points_per_lvl, self.strides, strict=True)
            radii = self.center_sample_radius * torch.cat([points.new_full((n, 1), stride) for n, stride in levels])
        boxes = get_box_tensor(gt_instances.bboxes).to(points)
        return fcos_targets(points, regress_ranges, boxes, gt_instances.labels, self.num_classes, radii)

    @torch.no_grad()
    def predict_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        score_factors: list[Tensor],
        batch_img_metas: list[dict],
        cfg: dict | None = None,
        rescale: bool = False,
        with_nms: bool = True,
    ) -> list[InstanceData]:
        """Boxes from the outputs of :meth:`forward`, detached and in float32.

        Args:
            cls_scores: Class logits of each level (N, num_classes, H, W).
            bbox_preds: Distances of each level (N, 4, H, W).
            score_factors: Centreness logits of each level (N, 1, H, W).
            batch_img_metas: Meta information of each image; ``scale_factor`` where ``rescale`` is set.
            cfg: Thresholds (see the class), ``test_cfg`` by default.
            rescale: Whether boxes are given in pixels of the original image instead of the input.
            with_nms: Whether overlapping boxes are suppressed and the best ``max_per_img`` kept. Otherwise all
                candidates are returned, with their ``points`` and in no order.

        Returns:
            For each image ``bboxes`` (n, 4), ``scores`` (n,) and ``labels`` (n,), best first.
        """
        cfg = self.test_cfg if cfg is None else cfg
        levels = zip(cls_scores, bbox_preds, score_factors, strict=True)
        parts = [self._level_candidates(i, *map(_at_least_single, level), cfg) for i, level in enumerate(levels)]
        scores, labels, points, distances = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
        if self.sqrt_score:
            scores = scores.sqrt()  # of the absent, which score -1, it is nan: neither passes scores >= 0

        results = []
        for i, img_meta in enumerate(batch_img_metas):
            found = (scores[i] >= 0).nonzero().squeeze(1)  # once: each boolean index waits for the device
            found_points = points[i][found]
            boxes = self.bbox_coder.decode(found_points, distances[i][found], max_shape=img_meta.get('img_shape'))
            candidates = InstanceData(bboxes=boxes, scores=scores[i][found], labels=labels[i][found])
            if not with_nms or cfg.get('with_points', False):
                candidates.points = found_points
            results.append(self._bbox_post_process(candidates, cfg, rescale, with_nms, img_meta))
        return results

    def _level_candidates(
        self, level: int, cls_score: Tensor, bbox_pred: Tensor, centerness: Tensor, cfg: dict
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The best (location, class) pairs of one level for the whole batch at once.

        A fixed number is taken and the absent ones are marked, rather than each image's own number: no step waits for
        the device, and the graph does not depend on the data.

        Returns:
            Scores ``p * c`` (N, K), -1 where fewer than K candidates exist, labels (N, K), locations (N, K, 2) and
            distances (N, K, 4) in pixels.
        """
        batch, _, height, width = cls_score.shape
        probability = cls_score.sigmoid()
        score = probability * centerness.sigmoid()
        passes = (score if self.thresh_with_ctr else probability) > cfg.get('score_thr', 0)
        score = score.masked_fill_(~passes, -1).flatten(1)
        limit = cfg.get('nms_pre', -1)
        number = score.shape[1] if limit <= 0 else _at_most(score.shape[1], limit)
        score, index = score.topk(number, dim=1, sorted=False)

        cell = index % (height * width)
        points = self.prior_generator.single_level_grid_priors(
            (height, width), level, dtype=bbox_pred.dtype, device=bbox_pred.device
        )
        distances = bbox_pred.flatten(2).gather(2, cell[:, None].expand(-1, 4, -1)).transpose(1, 2)
        if self.norm_on_bbox:
            distances = distances * self.strides[level]
        return score, index // (height * width), points[cell], distances

    def _bbox_post_process(
        self,
        results: InstanceData,
        cfg: dict,
        rescale: bool = False,
        with_nms: bool = True,
        img_meta: dict | None = None,
    ) -> InstanceData:
        """Drops small boxes, suppresses per class, keeps the best, and rescales; see :meth:`predict_by_feat`."""
        min_size = cfg.get('min_bbox_size', -1)
        if min_size >= 0:
            width, height = get_box_wh(results.bboxes)
            results = results[((width > min_size) & (height > min_size)).nonzero().squeeze(1)]
        if with_nms:
            scores, keep = _suppress(get_box_tensor(results.bboxes), results.scores, results.labels, cfg['nms'])
            results = results[keep]
            results.scores = scores
            results = results[: cfg['max_per_img']]
        if rescale:
            results.bboxes = scale_boxes(results.bboxes, [1 / factor for factor in img_meta['scale_factor']])
        return results


def _at_most(size: int | Tensor, limit: int) -> int | Tensor:
    """The smaller one, also of a size that is being traced: ``min`` would bake in which of the two it is."""
    return size.clamp(max=limit) if isinstance(size, Tensor) else min(size, limit)


def _suppress(boxes: Tensor, scores: Tensor, labels: Tensor, nms: dict) -> tuple[Tensor, Tensor]:
    """Non-maximum suppression within each class, the same steps also where there are no boxes.

    Returns:
        Scores of the boxes that stay, which soft-NMS lowers, and their indices, best first.
    """
    # A box of no area that scores less than any: mmcv looks for the largest coordinate, which no boxes do not have, and
    # a graph traced from an image without boxes would know of no NMS.
    boxes = torch.cat([boxes, boxes.new_zeros(1, 4)])
    scores = torch.cat([scores, scores.new_full((1,), -1.0)])
    labels = torch.cat([labels, labels.new_zeros(1)])
    # mmcv keeps classes apart by moving them by the largest coordinate, which does not clear boxes that reach below
    # zero. From zero on it does.
    detections, keep = batched_nms(boxes - boxes.min(), scores, labels, nms)
    found = (keep < boxes.shape[0] - 1).nonzero().squeeze(1)
    return detections[found, -1], keep[found]


def _at_least_single(tensor: Tensor) -> Tensor:
    """Half precision, as autocast leaves it, is too coarse for sums over locations and for pixel coordinates."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _flatten_levels(levels: list[Tensor]) -> Tensor:
    """Outputs (N, C, H, W) of all levels as rows (L, C), ordered by level, image, row and column."""
    return _at_least_single(torch.cat([level.permute(0, 2, 3, 1).flatten(0, 2) for level in levels]))
