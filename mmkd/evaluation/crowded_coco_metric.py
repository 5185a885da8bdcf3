"""COCO evaluation for images with more than a hundred objects."""

from __future__ import annotations

from unittest import mock

from mmdet.datasets.api_wrappers import COCOeval
from mmdet.evaluation.metrics import coco_metric

from mmkd.registry import METRICS

__all__ = ['CrowdedCocoMetric']


class _EvalWithAllDetections(COCOeval):
    """COCO evaluation whose AP over IoU 0.50:0.95 uses the largest ``maxDets``.

    pycocotools takes AP50, AP75 and the AP by size at the largest, but this one always at 100 detections.
    """

    def summarize(self) -> None:
        super().summarize()
        precision = self.eval['precision'][..., 0, -1]  # (IoU, recall, class), all areas
        precision = precision[precision > -1]
        self.stats[0] = precision.mean() if precision.size else -1
        most = self.params.maxDets[-1]
        print(f' Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets={most} ] = {self.stats[0]:0.3f}')


@METRICS.register_module()
class CrowdedCocoMetric(coco_metric.CocoMetric):
    """mmdet's ``CocoMetric``, with every AP taken at the largest number of ``proposal_nums``.

    With at most 100 objects and detections an image the figures are those of ``CocoMetric``. On images with more (cell
    nuclei: several hundred) ``CocoMetric`` would report an mAP that cannot exceed 100 / number of objects while
    its mAP_50 has no such limit. Let the model's ``max_per_img`` match.

    Args:
        proposal_nums: As in ``CocoMetric``; the last one is the number of detections that count.
    """

    def __init__(self, *args, proposal_nums=(100, 300, 400), **kwargs):
        super().__init__(*args, proposal_nums=proposal_nums, **kwargs)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """See ``CocoMetric``."""
        with mock.patch.object(coco_metric, 'COCOeval', _EvalWithAllDetections):
            return super().compute_metrics(results)
