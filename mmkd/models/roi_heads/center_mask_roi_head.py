"""The second stage of CenterMask: a mask, and how far to trust it, for each box of the first."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.models.utils import unpack_gt_instances
from mmdet.structures.bbox import bbox2roi, get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor

from mmkd.registry import MODELS

from ..utils.traced_sizes import sizes_like
from .mask_heads import select_class
from .mask_pasting import paste_masks
from .roi_extractors import AdaptiveRoIExtractor


@MODELS.register_module()
class CenterMaskRoIHead(StandardRoIHead):
    """Predicts masks and mask scores for the boxes of a one-stage detector (CenterMask, Lee & Park 2020).

    A RoI head without a box branch: the boxes, classes and scores it is given are final. Features are pooled with the
    boxes as they are, also where they leave the image; only the results are clipped.

    Args:
        mask_roi_extractor: Config of the extractor, :class:`AdaptiveRoIExtractor` or any of mmdet's.
        mask_head: Config of the mask head, :class:`SpatialAttentionMaskHead` or another ``FCNMaskHead``.
        mask_iou_head: Config of the :class:`CenterMaskIoUHead`. Without it the results have no ``mask_scores``.
        paste_with: With which boxes masks are pasted into the image: ``'clipped'`` as in centermask2, which squeezes
            the masks of boxes that leave the image, or ``'unclipped'``, the boxes they were pooled with.
        train_cfg: ``assigner``, ``sampler`` and ``mask_size``.
        test_cfg: ``mask_thr_binary``, the probability from which on a pixel belongs to the mask.
        init_cfg: Initialisation config.

    Raises:
        ValueError: If ``paste_with`` is unknown.
    """

    def __init__(
        self,
        mask_roi_extractor: dict,
        mask_head: dict,
        mask_iou_head: dict | None = None,
        paste_with: str = 'clipped',
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ):
        super().__init__(
            mask_roi_extractor=mask_roi_extractor,
            mask_head=mask_head,
            train_cfg=train_cfg,
            test_cfg=test_cfg,
            init_cfg=init_cfg,
        )
        if paste_with not in ('clipped', 'unclipped'):
            raise ValueError(f"roi_head.paste_with: got {paste_with!r}, expected 'clipped' or 'unclipped'")
        self.paste_with = paste_with
        self.mask_iou_head = MODELS.build(mask_iou_head) if mask_iou_head is not None else None

    # ---------------------------------------------------------------------------------------------- network

    def forward(
        self, x: Sequence[Tensor], results_list: list[InstanceData], batch_data_samples: list | None = None
    ) -> tuple[Tensor, ...]:
        """Mask logits (N, num_classes, H, W) and, with a mask IoU head, mask IoUs (N, num_classes) of all boxes."""
        img_shapes = [sample.img_shape for sample in batch_data_samples] if batch_data_samples else None
        outputs = self.mask_forward(x, bbox2roi([results.bboxes for results in results_list]), img_shapes)
        if self.mask_iou_head is None:
            return (outputs['mask_preds'],)
        labels = torch.cat([results.labels for results in results_list])
        logits = select_class(outputs['mask_preds'], labels)
        return outputs['mask_preds'], self.mask_iou_head(outputs['mask_feats'], logits)

    def mask_forward(self, x: Sequence[Tensor], rois: Tensor, img_shapes: Sequence[tuple] | None = None) -> dict:
        """Pools RoIs and predicts their masks.

        Args:
            x: Feature maps, finest first; those beyond the extractor's levels are not used.
            rois: (N, 5), image index, x1, y1, x2, y2 in pixels of the network's input.
            img_shapes: (height, width) of each image without padding.

        Returns:
            ``mask_feats`` (N, C, h, w), the pooled features, and ``mask_preds`` (N, num_classes, H, W), logits.
        """
        extractor = self.mask_roi_extractor
        kwargs = dict(img_shapes=img_shapes) if isinstance(extractor, AdaptiveRoIExtractor) else {}
        mask_feats = extractor(x[: extractor.num_inputs], rois, **kwargs)
        return dict(mask_feats=mask_feats, mask_preds=self.mask_head(mask_feats))

    # --------------------------------------------------------------------------------------------- training

    def loss(self, x: Sequence[Tensor], proposals: list[InstanceData], batch_data_samples: list) -> dict:
        """The losses of the mask branch.

        Args:
            x: Feature maps, finest first.
            proposals: ``bboxes`` of each image in pixels of the network's input, not clipped; left unchanged.
            batch_data_samples: Ground truth, with masks, and metainfo of each image.

        Returns:
            ``loss_mask`` and, with a mask IoU head, ``loss_mask_iou``; zero (with a graph) without positive RoIs.
        """
        sampling_results = self.sample_rois(proposals, batch_data_samples)
        return self.mask_loss(x, sampling_results, batch_data_samples)['loss_mask']

    def sample_rois(self, proposals: list[InstanceData], batch_data_samples: list) -> list:
        """Matches proposals (and the ground-truth boxes among them) to instances whatever their classes, and samples.

        Returns:
            mmdet's ``SamplingResult`` of each image.
        """
        batch_gt_instances, batch_ignored, _ = unpack_gt_instances(batch_data_samples)
        sampling_results = []
        for results, gt_instances, ignored in zip(proposals, batch_gt_instances, batch_ignored, strict=True):
            priors = InstanceData(priors=get_box_tensor(results.bboxes).detach().float())
            assigned = self.bbox_assigner.assign(priors, gt_instances, ignored)
            sampling_results.append(self.bbox_sampler.sample(assigned, priors, gt_instances))
        return sampling_results

    def mask_loss(self, x: Sequence[Tensor], sampling_results: list, batch_data_samples: list) -> dict:
        """Predictions, targets and losses on the positive RoIs.

        Returns:
            ``loss_mask``, the dict of losses; ``pos_rois`` (N, 5), ``pos_labels`` (N,), ``mask_feats``,
            ``mask_preds``, ``mask_targets`` and, with a mask IoU head, ``mask_iou_preds`` (N, num_classes) and
            ``mask_iou_targets`` (N,), for whoever wants to add losses.

        Raises:
            KeyError: If the ground truth has no masks.
        """
        batch_gt_instances, _, batch_img_metas = unpack_gt_instances(batch_data_samples)
        for gt_instances in batch_gt_instances:
            if 'masks' not in gt_instances:
                raise KeyError(
                    'gt_instances.masks: not given, expected masks of every image; does the pipeline have '
                    "dict(type='LoadAnnotations', with_bbox=True, with_mask=True)?"
                )
        rois = bbox2roi([result.pos_priors for result in sampling_results])
        labels = torch.cat([result.pos_gt_labels for result in sampling_results])
        outputs = self.mask_forward(x, rois, [meta['img_shape'] for meta in batch_img_metas])
        outputs.update(pos_rois=rois, pos_labels=labels)
        outputs.update(
            self.mask_head.loss_and_target(outputs['mask_preds'], sampling_results, batch_gt_instances, self.train_cfg)
        )
        if self.mask_iou_head is not None:
            logits = select_class(outputs['mask_preds'], labels)
            outputs['mask_iou_preds'] = self.mask_iou_head(outputs['mask_feats'], logits)
            iou_outputs = self.mask_iou_head.loss_and_target(
                outputs['mask_iou_preds'].gather(1, labels[:, None]).squeeze(1),
                logits,
                outputs['mask_targets'],
                sampling_results,
                batch_gt_instances,
                self.train_cfg,
            )
            outputs['loss_mask']['loss_mask_iou'] = iou_outputs.pop('loss_mask_iou')
            outputs.update(iou_outputs)
        return outputs

    # -------------------------------------------------------------------------------------------- inference

    def predict(
        self, x: Sequence[Tensor], results_list: list[InstanceData], batch_data_samples: list, rescale: bool = False
    ) -> list[InstanceData]:
        """Adds masks and mask scores to detections.

        Args:
            x: Feature maps, finest first.
            results_list: ``bboxes`` in pixels of the network's input, not clipped, ``scores`` and ``labels`` of each
                image.
            batch_data_samples: Metainfo of each image.
            rescale: Whether the results are of the original image rather than of the resized one.

        Returns:
            ``InstanceData`` of each image, in the order they came in, without those outside of the image: ``bboxes``
            (n, 4) clipped to the output, ``scores`` and ``labels`` as they were, ``masks`` (n, H, W) bool, and
            ``mask_scores`` (n,) if there is a mask IoU head.
        """
        batch_img_metas = [sample.metainfo for sample in batch_data_samples]
        return self.predict_mask(x, batch_img_metas, results_list, rescale)

    def predict_mask(
        self, x: Sequence[Tensor], batch_img_metas: list[dict], results_list: list[InstanceData], rescale: bool = False
    ) -> list[InstanceData]:
        """As :meth:`predict`, with the metainfo of each image."""
        images = zip(results_list, batch_img_metas, strict=True)
        placed = [self.place_boxes(results, meta, rescale) for results, meta in images]
        return self.predict_placed_masks(x, batch_img_metas, placed, rescale)

    def place_boxes(self, results: InstanceData, img_meta: dict, rescale: bool = False) -> InstanceData:
        """The boxes of one image as they are put out, without those outside of it.

        Args:
            results: ``bboxes`` (n, 4) in pixels of the network's input, not clipped, ``scores`` and ``labels``.
            img_meta: Metainfo of the image.
            rescale: Whether the results are of the original image rather than of the resized one.

        Returns:
            The same, ``bboxes`` clipped to the output, and ``found_bboxes``, as they came in.
        """
        boxes = _in_output(results.bboxes.float(), img_meta, rescale)
        height, width = _output_size(img_meta, rescale)
        # not in place, part by part: a traced graph would lose it
        clipped = torch.minimum(boxes.clamp(min=0), sizes_like((width, height), boxes).repeat(2))
        visible = (clipped[:, 2:] > clipped[:, :2]).all(dim=1).nonzero().squeeze(1)
        results = results[visible]
        results.found_bboxes = results.bboxes
        results.bboxes = clipped[visible]
        return results

    def predict_placed_masks(
        self, x: Sequence[Tensor], batch_img_metas: list[dict], results_list: list[InstanceData], rescale: bool = False
    ) -> list[InstanceData]:
        """Masks and mask scores of what :meth:`place_boxes` gave, or of a selection of it, in the order it came in."""
        num_per_image = [len(results) for results in results_list]
        logits, mask_ious = self.masks_of_boxes(x, [meta['img_shape'] for meta in batch_img_metas], results_list)
        if mask_ious is not None:
            results_list = self.mask_iou_head.predict_by_feat(mask_ious.split(num_per_image), results_list)
        probs = logits.float().sigmoid().split(num_per_image)
        images = zip(results_list, probs, batch_img_metas, strict=True)
        return [self._paste_single(*image, rescale) for image in images]

    def masks_of_boxes(
        self, x: Sequence[Tensor], img_shapes: Sequence[tuple], results_list: list[InstanceData]
    ) -> tuple[Tensor, Tensor | None]:
        """What the mask branch says of the boxes that :meth:`place_boxes` gave, image after image.

        Args:
            x: Feature maps, finest first.
            img_shapes: (height, width) of each image without padding.
            results_list: ``found_bboxes`` and ``labels`` of each image.

        Returns:
            Mask logits of the boxes' classes (N, S, S), and mask IoUs (N, num_classes) if there is a head for them.
        """
        rois = bbox2roi([results.found_bboxes for results in results_list])
        outputs = self.mask_forward(x, rois, img_shapes)
        logits = select_class(outputs['mask_preds'], torch.cat([results.labels for results in results_list]))
        if self.mask_iou_head is None:
            return logits, None
        return logits, self.mask_iou_head(outputs['mask_feats'], logits)

    def _paste_single(self, results: InstanceData, probs: Tensor, img_meta: dict, rescale: bool) -> InstanceData:
        """(n, S, S) masks of one image in the pixels of the output image."""
        found = results.pop('found_bboxes').float()
        boxes = results.bboxes if self.paste_with == 'clipped' else _in_output(found, img_meta, rescale)
        height, width = _output_size(img_meta, rescale)
        results.masks = paste_masks(probs, boxes, height, width, self.test_cfg['mask_thr_binary'])
        return results


def _in_output(boxes: Tensor, img_meta: dict, rescale: bool) -> Tensor:
    """Boxes in pixels of the network's input, in those of the output."""
    return boxes / sizes_like(img_meta.get('scale_factor', (1.0, 1.0)), boxes).repeat(2) if rescale else boxes


def _output_size(img_meta: dict, rescale: bool) -> tuple[int, int]:
    return tuple(img_meta['ori_shape' if rescale else 'img_shape'][:2])
