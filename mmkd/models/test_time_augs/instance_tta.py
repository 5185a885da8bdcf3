"""Test-time augmentation for instance segmentation."""

from __future__ import annotations

import torch
from mmcv.ops import batched_nms
from mmdet.models.test_time_augs import DetTTAModel
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_flip
from mmengine.structures import InstanceData

from mmkd.registry import MODELS

__all__ = ['InstanceTTAModel']

# Dimensions of (n, H, W) masks that a flip of the image turns round.
FLIPPED_DIMS = {'horizontal': [-1], 'vertical': [-2], 'diagonal': [-2, -1]}


@MODELS.register_module()
class InstanceTTAModel(DetTTAModel):
    """Merges the instances found in several views of an image: boxes by NMS, each with its mask and mask score.

    mmdet's ``DetTTAModel`` refuses results with masks. Masks are not averaged over the views, as detectron2 does; each
    instance keeps the mask of the view it was best seen in. Boxes are merged first and masks made for those that stay,
    as there, with a detector that has ``predict_boxes`` and ``predict_masks`` (:class:`mmkd.models.CenterMask`,
    :class:`mmkd.models.PointCenterMask`); with others the masks of all views are there before.

    Args:
        tta_cfg: ``nms``, mmcv's NMS config, and ``max_per_img``.
        **kwargs: ``module``, the model, and ``data_preprocessor``; see mmengine's ``BaseTTAModel``.
    """

    def test_step(self, data: dict) -> list[DetDataSample]:
        """The merged instances of a batch.

        Args:
            data: ``inputs`` and ``data_samples``, for each view a list with one entry an image.
        """
        if not hasattr(self.module, 'predict_boxes'):
            return super().test_step(data)
        views = []
        for i in range(len(data['inputs'])):
            view = self.module.data_preprocessor({key: value[i] for key, value in data.items()}, False)
            features, boxes = self.module.predict_boxes(view['inputs'], view['data_samples'])
            views.append((features, boxes, view['data_samples']))
        # for each image, which box of which view stays
        kept = [
            self._kept_boxes([(boxes[i], samples[i]) for _, boxes, samples in views]) for i in range(len(views[0][2]))
        ]
        parts = []
        for number, (features, boxes, samples) in enumerate(views):
            chosen = [own[keep.row[keep.view == number]] for own, keep in zip(boxes, kept, strict=True)]
            results = self.module.predict_masks(features, chosen, samples)
            parts.append([_unflipped(*pair) for pair in zip(results, samples, strict=True)])
        merged = []
        for i, keep in enumerate(kept):
            sample = views[0][2][i]
            by_view = InstanceData.cat([part[i] for part in parts])
            sample.pred_instances = by_view[keep.view.argsort(stable=True).argsort()]  # best first, as they were kept
            merged.append(sample)
        return merged

    def _kept_boxes(self, views: list[tuple[InstanceData, DetDataSample]]) -> InstanceData:
        """What NMS leaves of the boxes of all views of an image, best first: ``view`` and ``row``, (n,) each."""
        found = []
        for number, (results, sample) in enumerate(views):
            boxes = _unflipped(results, sample, keys=('bboxes', 'scores', 'labels'))
            boxes.row = torch.arange(len(boxes), device=boxes.scores.device)
            boxes.view = torch.full_like(boxes.row, number)
            found.append(boxes)
        return self._suppressed(InstanceData.cat(found))

    def _merge_single_sample(self, data_samples: list[DetDataSample]) -> DetDataSample:
        """One sample of the views of one image, whose instances are in pixels of the original image but flipped."""
        result = data_samples[0]
        found = InstanceData.cat([_unflipped(sample.pred_instances, sample) for sample in data_samples])
        result.pred_instances = self._suppressed(found)
        return result

    def _suppressed(self, found: InstanceData) -> InstanceData:
        if not len(found):
            return found
        _, keep = batched_nms(found.bboxes, found.scores, found.labels, self.tta_cfg['nms'])
        return found[keep[: self.tta_cfg['max_per_img']]]


def _unflipped(results: InstanceData, sample: DetDataSample, keys: tuple[str, ...] | None = None) -> InstanceData:
    """Instances of a view, in the image that is not flipped; only some of their fields if ``keys`` names them."""
    instances = InstanceData(**{key: value for key, value in results.items() if keys is None or key in keys})
    if sample.metainfo.get('flip'):
        direction = sample.flip_direction
        instances.bboxes = bbox_flip(instances.bboxes, sample.ori_shape, direction)
        if 'masks' in instances:
            instances.masks = instances.masks.flip(FLIPPED_DIMS[direction])
    return instances
