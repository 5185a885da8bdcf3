"""Files of the first CenterMask (maskrcnn-benchmark)."""

from __future__ import annotations

from torch import nn

from mmkd.models.backbones.original_names import BACKBONE_RULES, PREFIX

from .centermask2 import WEIGHT, head_rules, numbered
from .format import BACKBONE, COUNTER, FORMATS, Conversion, Format

__all__ = ['FROZEN_BN_EPS', 'CenterMaskFormat']

FROZEN_BN_EPS = 1e-5

FPN = r'backbone\.fpn\.'
MASK = r'roi_heads\.mask\.'
MASK_IOU = r'roi_heads\.maskiou\.'

RULES = (
    *BACKBONE_RULES,
    (PREFIX + r'stem\.(conv1|bn1)\.(\w+)', r'backbone.\1.\2'),
    (PREFIX + r'(layer[1-4]\.\d+\.(?:conv\d|bn\d|downsample\.[01])\.\w+)', r'backbone.\1'),
    # 2 is C3 here: the pyramid counts the stages of the backbone from 1.
    (FPN + r'fpn_inner([234])\.' + WEIGHT, numbered('neck.lateral_convs.{}.conv.{}', 2)),
    (FPN + r'fpn_layer([234])\.' + WEIGHT, numbered('neck.fpn_convs.{}.conv.{}', 2)),
    (FPN + r'top_blocks\.p([67])\.' + WEIGHT, numbered('neck.fpn_convs.{}.conv.{}', 3)),
    *head_rules(r'rpn\.head\.', 'centerness', MASK + r'feature_extractor\.', MASK_IOU + r'feature_extractor\.'),
    (MASK + r'predictor\.conv5_mask\.' + WEIGHT, r'roi_head.mask_head.upsample.\1'),
    (MASK + r'predictor\.mask_fcn_logits\.' + WEIGHT, r'roi_head.mask_head.conv_logits.\1'),
    (MASK_IOU + r'predictor\.maskiou\.' + WEIGHT, r'roi_head.mask_iou_head.fc_mask_iou.\1'),
)
WITH_BACKGROUND = ('roi_head.mask_head.conv_logits.', 'roi_head.mask_iou_head.fc_mask_iou.')


def _drop_background(conversion: Conversion, model: nn.Module) -> None:
    """Mask logits and mask IoUs have a first row for the background, which no box is of."""
    expected = model.state_dict()
    dropped = 0
    for key, value in conversion.tensors.items():
        if key.startswith(WITH_BACKGROUND) and key in expected and len(value) == len(expected[key]) + 1:
            conversion.tensors[key] = value[1:]
            dropped += 1
    if dropped:
        conversion.notes.append(f'background rows dropped from {dropped} tensors of the mask heads')


def _move_eps_of_frozen_norms(conversion: Conversion) -> None:
    """Frozen batch norm divides by sqrt(var) there, by sqrt(var + 1e-5) here. Trained norms have a counter."""
    moved = 0
    for key, value in conversion.tensors.items():
        counter = f'{key.rpartition(".")[0]}.{COUNTER}'
        if key.startswith(BACKBONE) and key.endswith('.running_var') and counter not in conversion.tensors:
            conversion.tensors[key] = value.double() - FROZEN_BN_EPS
            moved += 1
    if moved:
        conversion.notes.append(f'running_var of {moved} frozen norms lowered by {FROZEN_BN_EPS}, the eps added here')


def _note_differences(conversion: Conversion, model: nn.Module) -> None:
    """The same weights give other boxes in a head that is not told of the older regression."""
    head = getattr(model, 'bbox_head', None)
    if head is None or not any(key.startswith('bbox_head.') for key in conversion.tensors):
        return
    if getattr(head, 'bbox_reg', None) != 'exp_pixel':
        conversion.notes.append(
            'WARNING: the first CenterMask regresses exp(scale * x) pixels, and the bbox_head of this config does not. '
            "Its boxes will be wrong until it has bbox_reg='exp_pixel', as in "
            'configs/centermask/centermask1_v39_fpn_ms-3x_coco.py'
        )
    if getattr(head, 'sqrt_score', False):
        conversion.notes.append(
            'note: scores were class * centreness, without the square root of this config (bbox_head.sqrt_score=False)'
        )


@FORMATS.register_module('centermask')
class CenterMaskFormat(Format):
    """Detectors of the first CenterMask."""

    title = 'CenterMask (maskrcnn-benchmark)'
    rules = RULES

    def adapt(self, conversion: Conversion, model: nn.Module) -> None:
        _drop_background(conversion, model)
        _move_eps_of_frozen_norms(conversion)
        _note_differences(conversion, model)
