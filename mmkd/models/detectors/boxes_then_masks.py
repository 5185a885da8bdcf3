"""A detector that predicts in two halves: boxes, and the masks of those that are kept."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from mmdet.models.detectors import SingleStageDetector
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

__all__ = ['BoxesThenMasks']


class BoxesThenMasks(SingleStageDetector):
    """Base of detectors whose masks belong to boxes, which may be merged or chosen from before the masks are made.

    :class:`mmkd.models.InstanceTTAModel` merges boxes of several views of an image in between.
    """

    def predict(
        self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample], rescale: bool = True
    ) -> list[DetDataSample]:
        """Instances of a batch, written into the samples as ``pred_instances``.

        Args:
            batch_inputs: Normalised images (N, 3, H, W).
            batch_data_samples: Meta information of each image.
            rescale: Whether boxes and masks are of the original image or of the network's input.

        Returns:
            The samples. Their ``pred_instances`` have ``bboxes`` (n, 4), ``scores`` (n,), ``labels`` (n,) and ``masks``
            (n, H, W).
        """
        features, boxes = self.predict_boxes(batch_inputs, batch_data_samples, rescale)
        results = self.predict_masks(features, boxes, batch_data_samples, rescale)
        return self.add_pred_to_datasample(batch_data_samples, results)

    @abstractmethod
    def predict_boxes(
        self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample], rescale: bool = True
    ) -> tuple[Any, list[InstanceData]]:
        """The first half of :meth:`predict`.

        Returns:
            What :meth:`predict_masks` needs of the images, and for each image ``bboxes``, ``scores`` and ``labels``.
        """

    @abstractmethod
    def predict_masks(
        self,
        features: Any,
        results_list: list[InstanceData],
        batch_data_samples: list[DetDataSample],
        rescale: bool = True,
    ) -> list[InstanceData]:
        """The second half of :meth:`predict`, for all boxes of the first or a selection of them in any order."""
