"""Test-time augmentation for instance segmentation."""

from __future__ import annotations

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
    instance keeps the mask of the view it was best seen in.

    Args:
        tta_cfg: ``nms``, mmcv's NMS config, and ``max_per_img``.
        **kwargs: ``module``, the model, and ``data_preprocessor``; see mmengine's ``BaseTTAModel``.
    """

    def _merge_single_sample(self, data_samples: list[DetDataSample]) -> DetDataSample:
        """One sample of the views of one image, whose instances are in pixels of the original image but flipped."""
        merged = InstanceData.cat([_unflipped(sample) for sample in data_samples])
        if len(merged):
            _, keep = batched_nms(merged.bboxes, merged.scores, merged.labels, self.tta_cfg['nms'])
            merged = merged[keep[: self.tta_cfg['max_per_img']]]
        result = data_samples[0]
        result.pred_instances = merged
        return result


def _unflipped(sample: DetDataSample) -> InstanceData:
    instances = sample.pred_instances.new()
    if sample.metainfo.get('flip'):
        direction = sample.flip_direction
        instances.bboxes = bbox_flip(instances.bboxes, sample.ori_shape, direction)
        if 'masks' in instances:
            instances.masks = instances.masks.flip(FLIPPED_DIMS[direction])
    return instances
