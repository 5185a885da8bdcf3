"""Distillation of a mask branch: the teacher's masks, and its opinion of masks, on the student's own RoIs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmkd.registry import MODELS

from .base import DistillationLoss
from .functional import check_choice, check_positive, check_weight
from .pixel_wise import pixel_wise_loss

__all__ = ['MaskBranchLoss']

JUDGED = ('student', 'teacher')


@MODELS.register_module()
class MaskBranchLoss(DistillationLoss):
    r"""Teaches masks and mask IoUs on the RoIs that the student is trained on.

    The student's sampled positives are pooled a second time, by the teacher's RoI head from the teacher's own pyramid,
    which may be wider and assign other levels: a RoI is a box of the common input image. With :math:`s, t` the mask
    logits of the class of each RoI,

    .. math:: L_{mask} = \frac{T^2}{R h w} \sum_{r,i}
              KL\big(\mathrm{Bernoulli}(\sigma(t_{r,i} / T)) \,\|\, \mathrm{Bernoulli}(\sigma(s_{r,i} / T))\big), \qquad
              L_{iou} = \frac{1}{R} \sum_r (u_r - v_r)^2

    over R RoIs of h x w cells, u and v the mask IoUs that student and teacher predict for that class. Only the class of
    the RoI counts: no network has learned the masks of the others. (The masks of CenterMask_KD are not distilled.)

    The teacher runs to its neck, as for any tap there, and its mask branch runs here on the sampled RoIs alone::

        mask=dict(
            taps=dict(student='roi_head.mask_loss', teacher='neck'), loss=dict(type='mmkd.MaskBranchLoss'))

    Args:
        temperature: T, above 0.
        loss_weight: Factor on both terms.
        mask_iou_weight: Factor on :math:`L_{iou}`, in addition; 0 where a network has no mask IoU head.
        judged: Whose mask the teacher's IoU head looks at. ``'student'``: the mask whose IoU the student has to
            predict. ``'teacher'``: its own, so that v is how good the *teacher's* mask is, usually better.

    Raises:
        ValueError: An option is unknown or out of range.
    """

    def __init__(
        self,
        temperature: float = 1.0,
        loss_weight: float = 1.0,
        mask_iou_weight: float = 0.5,
        judged: str = 'student',
    ):
        check_positive('mask branch loss: temperature', temperature)
        check_weight('mask branch loss: mask_iou_weight', mask_iou_weight)
        check_choice('mask branch loss: judged', judged, JUDGED)
        super().__init__(loss_weight, temperature=temperature, mask_iou_weight=mask_iou_weight, judged=judged)

    def forward(
        self, levels_S: Sequence[dict], levels_T: Sequence[Tensor], data_samples, student, teacher
    ) -> dict[str, Tensor]:
        """The losses of a batch.

        Args:
            levels_S: What the student's ``roi_head.mask_loss`` returned, as the only item.
            levels_T: The teacher's pyramid, finest level first.
            data_samples: With ``img_shape`` of each image.
            student: The student.
            teacher: The ``FrozenTeacher``, with a ``CenterMaskRoIHead`` as ``roi_head``.

        Returns:
            ``mask`` and, with a weight, ``iou``; zero, with a graph, without RoIs.

        Raises:
            ValueError: A head is missing, or the masks differ in size or number of classes.
        """
        (outputs,) = levels_S
        iou_weight = self.options['mask_iou_weight']
        _check_heads(student, teacher.model, iou_weight)
        labels = outputs['pos_labels']
        logits = _of_class(outputs['mask_preds'], labels).float()
        ious = outputs['mask_iou_preds'].gather(1, labels[:, None]).squeeze(1).float() if iou_weight else None
        if not len(labels):
            return dict(mask=logits.sum(), **(dict(iou=ious.sum()) if iou_weight else {}))

        img_shapes = [sample.metainfo['img_shape'] for sample in data_samples]
        with teacher.inference(logits.device):
            head = teacher.model.roi_head
            found = head.mask_forward(levels_T, outputs['pos_rois'], img_shapes)
            _check_classes(outputs['mask_preds'], found['mask_preds'])
            masks = _of_class(found['mask_preds'], labels).float()
            if iou_weight:
                judged = logits.detach() if self.options['judged'] == 'student' else masks
                targets = head.mask_iou_head(found['mask_feats'], judged).gather(1, labels[:, None]).squeeze(1).float()

        mask = pixel_wise_loss(
            logits[:, None], masks[:, None], temperature=self.options['temperature'], activation='sigmoid'
        )
        losses = dict(mask=self.loss_weight * mask)
        if iou_weight:
            losses['iou'] = self.loss_weight * iou_weight * F.mse_loss(ious, targets)
        return losses


def _of_class(maps: Tensor, labels: Tensor) -> Tensor:
    """(N, H, W) of (N, num_classes, H, W), of the class of each; or of (N, 1, H, W), where one map is for all."""
    return maps[:, 0] if maps.shape[1] == 1 else maps[torch.arange(len(labels), device=labels.device), labels]


def _check_heads(student: nn.Module, teacher: nn.Module, iou_weight: float) -> None:
    for side, model in (('student', student), ('teacher', teacher)):
        head = getattr(model, 'roi_head', None)
        if not hasattr(head, 'mask_iou_head'):
            raise ValueError(f'{side}.roi_head: a CenterMaskRoIHead was expected, got {type(head).__name__}')
        if iou_weight and head.mask_iou_head is None:
            raise ValueError(f'{side}.roi_head.mask_iou_head: there is none; mask_iou_weight=0 distils the masks alone')


def _check_classes(student: Tensor, teacher: Tensor) -> None:
    classes = {student.shape[1], teacher.shape[1]} - {1}  # 1 where a head makes one mask for all classes
    if len(classes) > 1 or student.shape[2:] != teacher.shape[2:]:
        raise ValueError(
            f'roi_head.mask_head: masks of the same classes and size were expected, got (RoIs, classes, h, w) = '
            f'{tuple(student.shape)} of the student and {tuple(teacher.shape)} of the teacher'
        )
