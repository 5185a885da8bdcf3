"""What mmdet does with the outputs of its heads, with steps that do not depend on what is found.

mmdet keeps the candidates above a threshold, asks whether there are any, whether all boxes are large enough, and so on.
A graph traced from one image knows one answer only. Here candidates that do not count score -1 and go the way of the
others, up to the suppression, which leaves them out. The results are the same, box by box.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import torch
from mmdet.models.dense_heads import RPNHead, RTMDetInsHead
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmdet.models.layers import multiclass_nms as mmdet_multiclass_nms
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.models.task_modules.coders.delta_xywh_bbox_coder import delta2bbox
from mmdet.models.utils import filter_scores_and_topk as mmdet_filter_scores_and_topk
from mmdet.structures.bbox import cat_boxes, distance2bbox, get_box_tensor, get_box_wh
from mmengine.structures import InstanceData
from torch import Tensor

from mmkd.models.roi_heads.roi_extractors import pool_by_level
from mmkd.models.utils.traced_sizes import sizes_like

from .operators import batched_nms, put_in_place

__all__ = ['exportable_postprocessing']

ABSENT = -1.0  # the score of what does not count


@contextmanager
def exportable_postprocessing() -> Iterator[None]:
    """Within, mmdet's detectors can be traced up to their results."""
    with ExitStack() as stack:
        for original, ours in (
            (mmdet_filter_scores_and_topk, filter_scores_and_topk),
            (mmdet_multiclass_nms, multiclass_nms),
            (distance2bbox, _clipped_afterwards(distance2bbox)),
            (delta2bbox, _clipped_afterwards(delta2bbox)),
        ):
            stack.enter_context(put_in_place(original, ours))
        for owner, name, ours in (
            (BaseDenseHead, '_bbox_post_process', suppress),
            (RPNHead, '_predict_by_feat_single', propose),
            (RTMDetInsHead, '_bbox_mask_post_process', suppress_and_segment),
            (SingleRoIExtractor, 'forward', extract_rois),
        ):
            stack.enter_context(mock.patch.object(owner, name, ours))
        yield


def at_most(size: int | Tensor, limit: int) -> int | Tensor:
    """The smaller one, also of a size that is being traced."""
    return size.clamp(max=limit) if isinstance(size, Tensor) else min(size, limit)


def filter_scores_and_topk(scores: Tensor, score_thr: float, topk: int, results=None) -> tuple:
    """The ``topk`` best of (n, K) scores, those below the threshold as absent; else as mmdet's of this name."""
    flat = torch.where(scores > score_thr, scores, scores.new_tensor(ABSENT)).flatten()
    number = at_most(flat.shape[0], topk) if topk > 0 else flat.shape[0]
    best, index = flat.topk(number)
    row, label = torch.div(index, scores.shape[1], rounding_mode='floor'), index % scores.shape[1]
    if isinstance(results, dict):
        results = {key: value[row] for key, value in results.items()}
    elif results is not None:
        results = [value[row] for value in results] if isinstance(results, list) else results[row]
    return best, label, row, results


def multiclass_nms(
    multi_bboxes: Tensor,
    multi_scores: Tensor,
    score_thr: float,
    nms_cfg: dict,
    max_num: int = -1,
    score_factors: Tensor | None = None,
    return_inds: bool = False,
    box_dim: int = 4,
) -> tuple:
    """As mmdet's function of this name, for boxes (n, 4) or (n, K * 4) and scores (n, K + 1)."""
    number, num_classes = multi_scores.shape[0], multi_scores.shape[1] - 1
    boxes = multi_bboxes.view(number, -1, box_dim).expand(number, num_classes, box_dim).reshape(-1, box_dim)
    scores = multi_scores[:, :-1]
    labels = torch.arange(num_classes).expand_as(scores).reshape(-1)
    factors = 1 if score_factors is None else score_factors[:, None]
    scores = torch.where(scores > score_thr, scores * factors, scores.new_tensor(ABSENT)).reshape(-1)
    found, keep = batched_nms(boxes, scores, labels, nms_cfg)
    if max_num > 0:
        found, keep = found[:max_num], keep[:max_num]
    return (found, labels[keep], keep) if return_inds else (found, labels[keep])


def suppress(
    self: BaseDenseHead,
    results: InstanceData,
    cfg: dict,
    rescale: bool = False,
    with_nms: bool = True,
    img_meta: dict | None = None,
) -> InstanceData:
    """As ``BaseDenseHead._bbox_post_process``, in pixels of the network's input."""
    if 'score_factors' in results:
        results.scores = results.scores * results.pop('score_factors')
    boxes = get_box_tensor(results.bboxes)
    found, keep = batched_nms(boxes, _without_small(boxes, results.scores, cfg), results.labels, cfg.get('nms'))
    results = results[keep]
    results.scores = found[:, -1]
    return results[: cfg.max_per_img] if cfg.get('max_per_img', -1) > 0 else results


def suppress_and_segment(self: RTMDetInsHead, results: InstanceData, mask_feat: Tensor, cfg: dict, **kwargs):
    """As ``RTMDetInsHead._bbox_mask_post_process``; ``masks`` are logits on the head's own grid."""
    results = suppress(self, results, cfg)
    results.masks = dynamic_masks(self, mask_feat, results.kernels, results.priors)
    return results


def dynamic_masks(head: RTMDetInsHead, mask_feat: Tensor, kernels: Tensor, priors: Tensor) -> Tensor:
    """As ``RTMDetInsHead._mask_predict_by_feat_single``, with products of matrices for its grouped 1x1 convolutions.

    Args:
        head: Whose layers have the sizes ``weight_nums`` and ``bias_nums``.
        mask_feat: (C, H, W), the prototypes.
        kernels: (n, P), weights and biases of each instance.
        priors: (n, 4), x, y and both strides.

    Returns:
        (n, H, W) logits.
    """
    height, width = mask_feat.shape[-2:]
    cells = head.prior_generator.single_level_grid_priors((height, width), level_idx=0, device=mask_feat.device)
    offsets = (priors[:, None, :2] - cells[None, :, :2]).transpose(1, 2) / (priors[:, 2:3, None] * 8)
    x = torch.cat([offsets, mask_feat.flatten(1).expand(priors.shape[0], -1, -1)], dim=1)
    parts = kernels.split([*head.weight_nums, *head.bias_nums], dim=1)
    layers = list(zip(parts[: len(head.weight_nums)], parts[len(head.weight_nums) :], head.bias_nums, strict=True))
    for i, (weight, bias, outputs) in enumerate(layers):
        x = weight.unflatten(1, (outputs, weight.shape[1] // outputs)) @ x + bias[..., None]
        if i < len(layers) - 1:
            x = x.relu()
    return x.view(priors.shape[0], height, width)


def propose(
    self: RPNHead,
    cls_score_list: list[Tensor],
    bbox_pred_list: list[Tensor],
    score_factor_list: list,
    mlvl_priors: list[Tensor],
    img_meta: dict,
    cfg: dict,
    rescale: bool = False,
    with_nms: bool = True,
) -> InstanceData:
    """As ``RPNHead._predict_by_feat_single``, in pixels of the network's input."""
    cfg = self.test_cfg if cfg is None else cfg
    limit = cfg.get('nms_pre', -1)
    parts = []
    for level, outputs in enumerate(zip(cls_score_list, bbox_pred_list, mlvl_priors, strict=True)):
        cls_score, deltas, priors = outputs
        cls_score = cls_score.permute(1, 2, 0).reshape(-1, self.cls_out_channels)
        scores = cls_score.sigmoid()[:, 0] if self.use_sigmoid_cls else cls_score.softmax(-1)[:, 0]
        deltas = deltas.permute(1, 2, 0).reshape(-1, self.bbox_coder.encode_size)
        scores, index = scores.topk(at_most(scores.shape[0], limit) if limit > 0 else scores.shape[0])
        parts.append((scores, deltas[index], priors[index], torch.full_like(index, level)))
    scores, deltas, priors, levels = zip(*parts, strict=True)
    boxes = get_box_tensor(
        self.bbox_coder.decode(cat_boxes(priors), torch.cat(deltas), max_shape=img_meta['img_shape'])
    )
    scores = _without_small(boxes, torch.cat(scores), cfg)
    found, _ = batched_nms(boxes, scores, torch.cat(levels), cfg.nms)
    found = found[: cfg.max_per_img]
    return InstanceData(bboxes=found[:, :4], scores=found[:, 4], labels=torch.zeros_like(found[:, 4]).long())


def extract_rois(self: SingleRoIExtractor, feats: tuple, rois: Tensor, roi_scale_factor: float | None = None) -> Tensor:
    """As ``SingleRoIExtractor.forward``."""
    levels = self.map_roi_levels(rois, len(feats))
    if roi_scale_factor is not None:
        rois = self.roi_rescale(rois, roi_scale_factor)
    return pool_by_level(feats, rois, levels, self.roi_layers)


def _without_small(boxes: Tensor, scores: Tensor, cfg: dict) -> Tensor:
    smallest = cfg.get('min_bbox_size', -1)
    if smallest < 0:
        return scores
    width, height = get_box_wh(boxes)
    return torch.where((width > smallest) & (height > smallest), scores, scores.new_tensor(ABSENT))


def _clipped_afterwards(decode: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """mmdet clips in place, and only parts of a tensor, which is lost in a graph."""

    signature = inspect.signature(decode)

    @functools.wraps(decode)
    def decode_and_clip(*args, **kwargs) -> Tensor:
        call = signature.bind(*args, **kwargs)
        max_shape, call.arguments['max_shape'] = call.arguments.get('max_shape'), None
        boxes = decode(*call.args, **call.kwargs)
        if max_shape is None or not call.arguments.get('clip_border', True):
            return boxes
        height, width = max_shape[:2]
        return torch.minimum(boxes.clamp(min=0), sizes_like([width, height], boxes).repeat(boxes.shape[-1] // 2))

    return decode_and_clip
