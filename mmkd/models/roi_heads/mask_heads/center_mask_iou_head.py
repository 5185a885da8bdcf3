"""The head that predicts how well a mask fits (Mask Scoring R-CNN, Huang et al. 2019), as CenterMask uses it."""

from __future__ import annotations

import torch
from mmdet.models.roi_heads.mask_heads import MaskIoUHead
from torch import Tensor

from mmkd.registry import MODELS

from ..mask_targets import of_batch, visible_area_ratios

# The full mask of an instance of which nothing is visible would be of infinite size.
_MIN_RATIO = 1e-10


def mask_iou_targets(mask_logits: Tensor, mask_targets: Tensor, area_ratios: Tensor) -> Tensor:
    """IoU of predicted masks with the whole of their instances, seen and unseen.

    What lies outside of the RoI is not in ``mask_targets``; it is counted through ``area_ratios``: the whole instance
    has ``sum(mask_targets) / ratio`` cells.

    Args:
        mask_logits: (N, H, W) logits; positive ones are foreground.
        mask_targets: (N, H, W) of 0 and 1.
        area_ratios: (N,) part of the area of each instance that lies in its RoI.

    Returns:
        (N,) float64 in [0, 1], without a graph.
    """
    predicted = (mask_logits.detach() > 0).flatten(1)
    target = (mask_targets > 0.5).flatten(1)
    visible = target.sum(1, dtype=torch.float64)
    whole = visible / area_ratios.double().clamp(_MIN_RATIO, 1)
    intersection = (predicted & target).sum(1, dtype=torch.float64)
    union = predicted.sum(1, dtype=torch.float64) + whole - intersection
    return intersection / union.clamp(min=1)


@MODELS.register_module()
class CenterMaskIoUHead(MaskIoUHead):
    """mmdet's ``MaskIoUHead`` with the targets, the loss and the scores of centermask2.

    Its input are the pooled features *before* the mask head's convolutions and the logits of one class, whose sigmoid
    it halves with a max pool; gradients flow into both. It differs from mmdet's head in this:

    * targets: a prediction is foreground from probability 0.5 on (mmdet compares *logits* with 0.5, which is
      probability 0.62), boxes are neither rounded nor clipped, the union is at least one cell, and bitmap masks are
      measured exactly;
    * results: ``mask_scores`` is written beside ``scores`` (mmdet overwrites ``scores``, which changes box AP too);
    * initialisation: Kaiming for the fully connected layers too.

    Args:
        *args: Those of ``MaskIoUHead``; ``in_channels`` is that of the features.
        **kwargs: Those of ``MaskIoUHead``.
    """

    def __init__(self, *args, init_cfg: dict | list | None = None, **kwargs):
        init_cfg = init_cfg or [
            dict(type='Kaiming', override=dict(name='convs')),
            dict(type='Kaiming', override=dict(name='fcs')),
            dict(type='Normal', std=0.01, override=dict(name='fc_mask_iou')),
        ]
        super().__init__(*args, init_cfg=init_cfg, **kwargs)

    def get_targets(
        self,
        sampling_results: list,
        batch_gt_instances: list,
        mask_preds: Tensor,
        mask_targets: Tensor,
        rcnn_train_cfg: dict,
    ) -> Tensor:
        """Targets of the positive RoIs of a batch, see :func:`mask_iou_targets`."""
        ratios = of_batch(visible_area_ratios, sampling_results, batch_gt_instances)
        return mask_iou_targets(mask_preds, mask_targets, ratios)

    def loss_and_target(
        self,
        mask_iou_pred: Tensor,
        mask_preds: Tensor,
        mask_targets: Tensor,
        sampling_results: list,
        batch_gt_instances: list,
        rcnn_train_cfg: dict,
    ) -> dict:
        """The loss, averaged over the RoIs whose target is positive; zero (with a graph) if there is none.

        Args:
            mask_iou_pred: (N,) predicted IoU of the ground-truth class of each positive RoI.
            mask_preds: (N, H, W) mask logits of that class.
            mask_targets: (N, H, W) of 0 and 1.
            sampling_results: mmdet's ``SamplingResult`` of each image.
            batch_gt_instances: ``InstanceData`` with ``masks`` of each image.
            rcnn_train_cfg: The train config of the RoI head.

        Returns:
            ``dict(loss_mask_iou=..., mask_iou_targets=...)``.
        """
        targets = self.get_targets(sampling_results, batch_gt_instances, mask_preds, mask_targets, rcnn_train_cfg)
        loss = self.loss(mask_iou_pred, targets)
        return dict(loss_mask_iou=loss, mask_iou_targets=targets)

    def loss(self, mask_iou_pred: Tensor, targets: Tensor) -> Tensor:
        """Loss of (N,) predictions against (N,) targets, over the positive targets."""
        weight = (targets > 0).float()
        return self.loss_iou(
            mask_iou_pred.float(), targets.float(), weight=weight, avg_factor=weight.sum().clamp(min=1)
        )

    def predict_by_feat(self, mask_iou_preds: tuple[Tensor, ...], results_list: list) -> list:
        """Writes ``mask_scores``, the score times the predicted IoU of the predicted class, into each image's results.

        Args:
            mask_iou_preds: (N, num_classes) predictions of each image.
            results_list: ``InstanceData`` with ``scores`` and ``labels`` of each image.

        Returns:
            The same list; ``scores`` are as they were.
        """
        for results, mask_ious in zip(results_list, mask_iou_preds, strict=True):
            chosen = mask_ious.gather(1, results.labels[:, None]).squeeze(1)
            results.mask_scores = results.scores * chosen.to(results.scores.dtype)
        return results_list
