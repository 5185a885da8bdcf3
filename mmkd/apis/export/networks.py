"""The whole way from raw images to results as one module, for each kind of model that can be exported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from mmdet.models.dense_heads import RTMDetInsHead
from mmdet.models.detectors import SingleStageDetector, TwoStageDetector
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.structures.bbox import bbox2roi
from mmengine.config import Config
from mmseg.models.segmentors import DepthEstimator, EncoderDecoder
from mmseg.models.utils import resize
from torch import Tensor, nn

from mmkd.models.dense_heads.point_mask_decoding import Centers, Frame, boxes_of_image
from mmkd.models.detectors import CenterMask, PointCenterMask
from mmkd.models.roi_heads.mask_heads import select_class
from mmkd.models.utils.traced_sizes import size_tensor, sizes_like
from mmkd.utils.errors import UserError

from .preprocess import Prepared, Preprocess

__all__ = ['ExportedModel', 'exported_model']


class ExportedModel(nn.Module):
    """A network between :class:`Preprocess` and the tensors of a file.

    Attributes:
        task: ``'segmentation'``, ``'depth'``, ``'detection'`` or ``'instances'``.
        outputs: Names of what :meth:`forward` gives, in order.
        dynamic: For each output, what its dimensions are called that differ from image to image.
        settings: What whoever uses the outputs has to know.
    """

    task: ClassVar[str]
    many_images = False  # whether several images can go in at once

    def __init__(self, model: nn.Module, preprocess: Preprocess):
        super().__init__()
        self.model = model
        self.preprocess = preprocess
        self.outputs: list[str] = []
        self.dynamic: dict[str, dict[int, str]] = {}
        self.settings: dict = {}

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Raw images (N, H, W, 3) uint8 to results, the sizes and places of which are in pixels of these images."""
        return self.predict(self.preprocess(images))

    def predict(self, prepared: Prepared) -> tuple[Tensor, ...]:
        raise NotImplementedError

    def _gives(self, **outputs: dict[int, str]) -> None:
        self.outputs += outputs
        self.dynamic.update(outputs)


class ExportedSegmentor(ExportedModel):
    """``labels`` (N, H, W) uint8, or int32 for more than 256 classes."""

    task = 'segmentation'
    many_images = True

    def __init__(self, model: EncoderDecoder, preprocess: Preprocess):
        super().__init__(model, preprocess)
        self._gives(labels={0: 'batch', 1: 'height', 2: 'width'})
        self.settings['align_corners'] = model.align_corners

    def predict(self, prepared: Prepared) -> tuple[Tensor]:
        logits = self._maps(prepared)
        if logits.shape[1] == 1:
            labels = (logits[:, 0].sigmoid() > self.model.decode_head.threshold).long()
        else:
            labels = logits.argmax(1)
        return (labels.to(torch.uint8 if self.model.out_channels <= 256 else torch.int32),)

    def _maps(self, prepared: Prepared) -> Tensor:
        """What the head gives, at the size of the raw images."""
        padded = prepared.inputs.shape[-2:]
        metas = [dict(img_shape=padded, pad_shape=padded, ori_shape=padded)]
        maps = self.model.inference(prepared.inputs, metas)
        height, width = prepared.image_size
        maps = maps[:, :, :height, :width]
        return resize(
            maps,
            size=prepared.original_size,
            mode='bilinear',
            align_corners=self.model.align_corners,
            warning=False,
        )


class ExportedDepthEstimator(ExportedSegmentor):
    """``depth`` (N, H, W) float32, in the unit of the model."""

    task = 'depth'

    def __init__(self, model: DepthEstimator, preprocess: Preprocess):
        super().__init__(model, preprocess)
        self.outputs, self.dynamic = [], {}
        self._gives(depth={0: 'batch', 1: 'height', 2: 'width'})

    def predict(self, prepared: Prepared) -> tuple[Tensor]:
        return (self._maps(prepared)[:, 0],)


class ExportedDetector(ExportedModel):
    """``boxes`` (n, 4) x1, y1, x2, y2, ``scores`` (n,) and ``labels`` (n,) int64 of one image, the best first."""

    task = 'detection'

    def __init__(self, model: nn.Module, preprocess: Preprocess):
        super().__init__(model, preprocess)
        self._gives(boxes={0: 'instances'}, scores={0: 'instances'}, labels={0: 'instances'})

    def predict(self, prepared: Prepared) -> tuple[Tensor, ...]:
        found = self._find(self.model.extract_feat(prepared.inputs), prepared)
        return self._in_original(found.bboxes, prepared), found.scores, found.labels

    def _find(self, features: Sequence[Tensor], prepared: Prepared):
        outputs = self.model.bbox_head(features)
        return self.model.bbox_head.predict_by_feat(*outputs, batch_img_metas=[_meta_of(prepared)], rescale=False)[0]

    def _in_original(self, boxes: Tensor, prepared: Prepared) -> Tensor:
        """In pixels of the raw image."""
        return boxes / sizes_like(prepared.scale, boxes).repeat(2)


class ExportedTwoStage(ExportedDetector):
    """mmdet's two-stage detectors: Faster R-CNN, Mask R-CNN and what shares their RoI head.

    ``masks`` (n, S, S) are probabilities in the box.
    """

    def __init__(self, model: TwoStageDetector, preprocess: Preprocess):
        super().__init__(model, preprocess)
        head = model.roi_head
        if type(head).predict_bbox is not StandardRoIHead.predict_bbox:
            raise UserError(f'model.roi_head: {type(head).__name__} cannot be exported, StandardRoIHead can')
        if model.with_mask:
            self.task = 'instances'
            self._gives(masks={0: 'instances'})
            self.settings.update(mask='box', mask_thr=head.test_cfg['mask_thr_binary'])

    def predict(self, prepared: Prepared) -> tuple[Tensor, ...]:
        features = self.model.extract_feat(prepared.inputs)
        found = self._find(features, prepared)
        results = self._in_original(found.bboxes, prepared), found.scores, found.labels
        if not self.model.with_mask:
            return results
        head = self.model.roi_head
        pooled = head.mask_roi_extractor(features[: head.mask_roi_extractor.num_inputs], bbox2roi([found.bboxes]))
        if head.with_shared_head:
            pooled = head.shared_head(pooled)
        return *results, select_class(head.mask_head(pooled), found.labels).sigmoid()

    def _find(self, features: Sequence[Tensor], prepared: Prepared):
        meta, head = _meta_of(prepared), self.model.roi_head
        rpn = self.model.rpn_head
        proposals = rpn.predict_by_feat(*rpn(features), batch_img_metas=[meta], rescale=False)[0]
        rois = bbox2roi([proposals.bboxes])
        outputs = head._bbox_forward(features, rois)
        return head.bbox_head._predict_by_feat_single(
            rois, outputs['cls_score'], outputs['bbox_pred'], meta, rescale=False, rcnn_test_cfg=head.test_cfg
        )


class ExportedCenterMask(ExportedDetector):
    """CenterMask: ``masks`` (n, S, S), probabilities in the box, and ``mask_scores`` (n,), to rank masks by."""

    task = 'instances'

    def __init__(self, model: CenterMask, preprocess: Preprocess):
        super().__init__(model, preprocess)
        head = model.roi_head
        self._gives(masks={0: 'instances'})
        self.settings.update(mask='box', mask_thr=head.test_cfg['mask_thr_binary'])
        if head.mask_iou_head is not None:
            self._gives(mask_scores={0: 'instances'})
        if head.paste_with == 'unclipped':
            self._gives(mask_boxes={0: 'instances'})

    def predict(self, prepared: Prepared) -> tuple[Tensor, ...]:
        head, meta = self.model.roi_head, _meta_of(prepared)
        features = self.model.extract_feat(prepared.inputs)
        found = head.place_boxes(self._find(features, prepared), meta, rescale=True)
        logits, mask_ious = head.masks_of_boxes(features, [meta['img_shape']], [found])
        outputs = [found.bboxes, found.scores, found.labels, logits.sigmoid()]
        if mask_ious is not None:
            outputs.append(head.mask_iou_head.predict_by_feat((mask_ious,), [found])[0].mask_scores)
        if head.paste_with == 'unclipped':
            outputs.append(self._in_original(found.found_bboxes, prepared))
        return tuple(outputs)


class ExportedRTMDetIns(ExportedDetector):
    """RTMDet-Ins: ``masks`` (n, h, w), logits on a coarse grid; :func:`~.pasting.upsample_masks` says what to do."""

    task = 'instances'

    def __init__(self, model: SingleStageDetector, preprocess: Preprocess):
        super().__init__(model, preprocess)
        head = model.bbox_head
        self._gives(masks={0: 'instances', 1: 'mask_height', 2: 'mask_width'}, mask_size={})
        stride = head.prior_generator.strides[0][0]
        self.settings.update(mask='image', mask_thr=model.test_cfg.mask_thr_binary, mask_stride=stride)

    def predict(self, prepared: Prepared) -> tuple[Tensor, ...]:
        found = self._find(self.model.extract_feat(prepared.inputs), prepared)
        stride = self.settings['mask_stride']
        # mmdet divides by the scale as a number of Python, and rounds up.
        sizes = [
            torch.ceil(size_tensor(side) * stride * (1 / factor.double())).long()
            for side, factor in zip(found.masks.shape[-2:], reversed(prepared.scale), strict=True)
        ]
        boxes = self._in_original(found.bboxes, prepared)
        return boxes, found.scores, found.labels, found.masks, torch.stack(sizes)


class ExportedPointCenterMask(ExportedModel):
    """CenterMask with points: ``shapes`` (n, S, S) and ``saliency`` (M, h, w), logits of which masks are assembled.

    ``map_boxes`` (n, 4) are the boxes in cells of the saliency map, ``map_scale`` (2,) has its cells for one pixel of
    the image, x and y; :func:`~.pasting.assemble_masks` says what to do.
    """

    task = 'instances'

    def __init__(self, model: PointCenterMask, preprocess: Preprocess):
        super().__init__(model, preprocess)
        self._gives(boxes={0: 'instances'}, scores={0: 'instances'}, labels={0: 'instances'}, shapes={0: 'instances'})
        self._gives(saliency={1: 'map_height', 2: 'map_width'}, map_boxes={0: 'instances'}, map_scale={})
        test_cfg = model.bbox_head.test_cfg or {}
        self.settings.update(mask='product', mask_thr=test_cfg.get('mask_thr', 0.4))

    def predict(self, prepared: Prepared) -> tuple[Tensor, ...]:
        head = self.model.bbox_head
        maps, shapes_at = self.model.maps_and_shapes(prepared.inputs)
        meta = _meta_of(prepared)
        centers = Centers(*(x[0] for x in head.find_centers(maps, [meta])))
        threshold = (head.test_cfg or {}).get('score_thr', 0.0)
        found = boxes_of_image(centers.chosen(centers.score > threshold), Frame.of(meta, head.stride, rescale=True))
        row, column = found.cells.unbind(1)
        shapes = shapes_at(torch.zeros_like(row), row, column).view(-1, head.shape_size, head.shape_size)
        scale = torch.stack([factor.float() / head.stride for factor in prepared.scale])
        return found.bboxes, found.scores, found.labels, shapes, maps.saliency[0].float(), found.map_bboxes, scale


def _meta_of(prepared: Prepared) -> dict:
    """The metainfo of the only image. Sizes are tensors while a graph is traced."""
    return dict(
        img_shape=prepared.image_size,
        ori_shape=prepared.original_size,
        pad_shape=prepared.inputs.shape[-2:],
        batch_input_shape=prepared.inputs.shape[-2:],
        scale_factor=prepared.scale,
    )


_KINDS = (
    (DepthEstimator, ExportedDepthEstimator),
    (EncoderDecoder, ExportedSegmentor),
    (CenterMask, ExportedCenterMask),
    (PointCenterMask, ExportedPointCenterMask),
    (TwoStageDetector, ExportedTwoStage),
    (SingleStageDetector, ExportedDetector),
)


def exported_model(model: nn.Module, cfg: Config, colour: str = 'rgb') -> ExportedModel:
    """What is exported of a trained model.

    Args:
        model: The network, without teacher, on the CPU.
        cfg: Its whole config.
        colour: ``'rgb'`` or ``'bgr'``, the channels of the images that the file will be given.

    Raises:
        UserError: The kind of model is not known, or its test pipeline has a step that a graph cannot have.
    """
    preprocess = Preprocess(cfg, model.data_preprocessor, colour)
    kind = next((ours for theirs, ours in _KINDS if isinstance(model, theirs)), None)
    if kind is ExportedDetector and isinstance(model.bbox_head, RTMDetInsHead):
        kind = ExportedRTMDetIns
    if kind is None or (kind is ExportedDetector and getattr(model, 'mask_head', None) is not None):
        raise UserError(
            f'model.type: {type(model).__name__} cannot be exported; segmentors (EncoderDecoder), depth estimators, '
            'one-stage detectors, RTMDet-Ins, Faster and Mask R-CNN, CenterMask and PointCenterMask can'
        )
    return kind(model, preprocess).eval()
