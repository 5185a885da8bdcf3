"""CenterMask: FCOS with a mask branch on the boxes it finds."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor

from mmkd.compat_ops import refuse_export
from mmkd.registry import MODELS

from .boxes_then_masks import BoxesThenMasks


@MODELS.register_module()
class CenterMask(BoxesThenMasks):
    """One-stage instance segmentation: FCOS boxes, each with a mask of its own.

    The box head is final: it names the class, and no second box stage follows. While training, the boxes it finds at
    that moment are the proposals the mask branch learns from. mmdet's ``TwoStageDetector`` cannot hold it, since it
    makes its first stage class-agnostic (``num_classes = 1``, labels set to zero) and renames ``bbox_head`` weights.

    Args:
        backbone: Config of the backbone.
        neck: Config of the feature pyramid.
        bbox_head: Config of the box head, see :class:`CenterMaskFCOSHead`.
        roi_head: Config of the mask branch, see :class:`CenterMaskRoIHead`.
        train_cfg: ``rpn_proposal``, how training proposals are chosen, and ``rcnn``, passed on to ``roi_head``.
            Needed for training only.
        test_cfg: ``bbox``, how boxes are chosen, and ``rcnn``, passed on to ``roi_head``.
        data_preprocessor: Config of the data preprocessor.
        init_cfg: Initialisation config.

    Raises:
        ValueError: If a part of ``train_cfg`` or ``test_cfg`` is missing, or the heads have different numbers of
            classes.

    Source: CenterMask: Real-Time Anchor-Free Instance Segmentation (Lee & Park 2020).
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        bbox_head: dict,
        roi_head: dict,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ):
        test_cfg = _config_with_keys('test_cfg', test_cfg, ('bbox', 'rcnn'))
        _config_with_keys('test_cfg.bbox', test_cfg.bbox, ('score_thr', 'nms', 'max_per_img'))
        if train_cfg is not None:
            train_cfg = _config_with_keys('train_cfg', train_cfg, ('rpn_proposal', 'rcnn'))
            _config_with_keys('train_cfg.rpn_proposal', train_cfg.rpn_proposal, ('score_thr', 'nms', 'max_per_img'))

        super().__init__(
            backbone,
            neck,
            copy.deepcopy(bbox_head),  # the base class writes the configs below into it
            train_cfg=None,
            test_cfg=test_cfg.bbox,
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        roi_head = copy.deepcopy(roi_head)
        roi_head.update(train_cfg=train_cfg.rcnn if train_cfg else None, test_cfg=test_cfg.rcnn)
        self.roi_head = MODELS.build(roi_head)
        self.train_cfg = train_cfg
        self.test_cfg = test_cfg
        self._check_num_classes()

    def _check_num_classes(self) -> None:
        number = self.bbox_head.num_classes
        for name in ('mask_head', 'mask_iou_head'):
            head = getattr(self.roi_head, name, None)
            if head is None or getattr(head, 'class_agnostic', False) or head.num_classes == number:
                continue
            raise ValueError(
                f'bbox_head.num_classes is {number}, but roi_head.{name}.num_classes is {head.num_classes}: '
                'expected the same number, since the class of a box selects its mask'
            )

    def loss(self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample]) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            batch_inputs: Normalised images (N, 3, H, W).
            batch_data_samples: Ground truth of each image: ``bboxes``, ``labels`` and ``masks``.

        Returns:
            ``loss_cls``, ``loss_bbox``, ``loss_centerness`` and those of the mask branch, ``loss_mask`` and
            ``loss_mask_iou``.

        Raises:
            ValueError: If the detector was built without ``train_cfg``.
        """
        if self.train_cfg is None:
            raise ValueError('train_cfg: expected a dict with rpn_proposal and rcnn for training, got None')
        x = self.extract_feat(batch_inputs)
        losses, proposals = self.bbox_head.loss_and_predict(
            x, batch_data_samples, proposal_cfg=self.train_cfg.rpn_proposal
        )
        losses.update(self.roi_head.loss(x, proposals, batch_data_samples))
        return losses

    def predict_boxes(
        self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample], rescale: bool = True
    ) -> tuple[Sequence[Tensor], list[InstanceData]]:
        """The first half of :meth:`predict`: the maps of the pyramid, and the boxes."""
        x = self.extract_feat(batch_inputs)
        # Masks are predicted for the boxes as found, so these stay in input pixels until then.
        found = self.bbox_head.predict(x, batch_data_samples, rescale=False)
        images = zip(found, batch_data_samples, strict=True)
        return x, [self.roi_head.place_boxes(results, sample.metainfo, rescale) for results, sample in images]

    def predict_masks(
        self,
        features: Sequence[Tensor],
        results_list: list[InstanceData],
        batch_data_samples: list[DetDataSample],
        rescale: bool = True,
    ) -> list[InstanceData]:
        """The second half of :meth:`predict`.

        Returns:
            Results with ``masks``, and ``mask_scores`` (n,): the scores to rank masks by, while ``scores`` rank boxes.
        """
        metas = [sample.metainfo for sample in batch_data_samples]
        return self.roi_head.predict_placed_masks(features, metas, results_list, rescale)

    def _forward(
        self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample] | None = None
    ) -> tuple[tuple[list[Tensor], ...], tuple[Tensor, ...]]:
        """Raw outputs without post-processing of masks, for measuring and tracing the network.

        Args:
            batch_inputs: Normalised images (N, 3, H, W).
            batch_data_samples: Meta information of each image. Without it images count as unpadded.

        Returns:
            The outputs of the box head (class logits, distances and centreness logits of each level) and those of the
            mask branch for the boxes found (mask logits and mask IoUs).

        Raises:
            NotImplementedError: Under ``torch.export``. ``torch.jit.trace`` works, for images of any size and with any
                number of boxes.
        """
        refuse_export(
            'NMS and RoIAlign of mmcv between boxes and masks',
            'export model.bbox_head(model.extract_feat(images)), all but the masks',
        )
        if batch_data_samples is None:
            batch_data_samples = [_sample_of_size(batch_inputs.shape[-2:]) for _ in range(batch_inputs.shape[0])]
        x = self.extract_feat(batch_inputs)
        box_outputs = self.bbox_head(x)
        boxes = self._find_boxes(box_outputs, batch_data_samples)
        return box_outputs, self.roi_head.forward(x, boxes, batch_data_samples)

    def _find_boxes(self, box_outputs: tuple, batch_data_samples: list[DetDataSample]) -> list[InstanceData]:
        metas = [sample.metainfo for sample in batch_data_samples]
        return self.bbox_head.predict_by_feat(*box_outputs, batch_img_metas=metas)


def _sample_of_size(size: Sequence[int]) -> DetDataSample:
    """The sample of an image of this height and width, neither resized nor padded."""
    sample = DetDataSample()
    for key, value in dict(img_shape=tuple(size), ori_shape=tuple(size), scale_factor=(1.0, 1.0)).items():
        # Not as metainfo=..., which is copied: sizes are tensors in a traced graph, and their copies hold anything.
        sample.set_field(value, key, field_type='metainfo')
    return sample


def _config_with_keys(name: str, config: dict | None, keys: tuple[str, ...]) -> ConfigDict:
    missing = [key for key in keys if key not in (config or {})]
    if missing:
        raise ValueError(f'{name}: {", ".join(missing)} missing, expected a dict with {", ".join(keys)}, got {config}')
    return ConfigDict(config)
