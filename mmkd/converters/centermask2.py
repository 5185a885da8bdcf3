"""Files of centermask2 (detectron2): whole detectors, and ImageNet files of its backbones."""

from __future__ import annotations

import re

from mmkd.models.backbones.original_names import BACKBONE_RULES, PREFIX

from .format import FORMATS, Format

__all__ = ['WEIGHT', 'CenterMask2Format', 'head_rules', 'numbered']

TOWERS = {'cls': 'cls_convs', 'bbox': 'reg_convs'}


def tower(match: re.Match) -> str | None:
    """A layer of a tower: convolution, group norm and ReLU take turns in the original's flat list."""
    number, kind = divmod(int(match['index']), 3)
    if kind == 2:
        return None
    return f'bbox_head.{TOWERS[match["tower"]]}.{number}.{("conv", "gn")[kind]}.{match["rest"]}'


def numbered(template: str, first: int):
    """A rule that counts from 0 what the original counts from ``first``."""
    return lambda match: template.format(int(match[1]) - first, match[2])


def head_rules(fcos: str, centerness: str, mask: str, mask_iou: str) -> tuple:
    """What the heads of CenterMask are called in both of its code bases.

    Args:
        fcos: What precedes the names in the FCOS head.
        centerness: The name of its branch for centerness.
        mask: What precedes the names of the convolutions in the mask head.
        mask_iou: What precedes those in the mask IoU head.
    """
    return (
        (fcos + r'(?P<tower>cls|bbox)_tower\.(?P<index>\d+)\.(?P<rest>weight|bias)', tower),
        (fcos + r'cls_logits\.' + WEIGHT, r'bbox_head.conv_cls.\1'),
        (fcos + r'bbox_pred\.' + WEIGHT, r'bbox_head.conv_reg.\1'),
        (fcos + centerness + r'\.' + WEIGHT, r'bbox_head.conv_centerness.\1'),
        (fcos + r'scales\.(\d+)\.scale', r'bbox_head.scales.\1.scale'),
        (mask + r'mask_fcn(\d+)\.' + WEIGHT, numbered('roi_head.mask_head.convs.{}.conv.{}', 1)),
        (mask + r'spatialAtt\.conv\.weight', 'roi_head.mask_head.spatial_attention.conv.weight'),
        (mask_iou + r'maskiou_fcn(\d+)\.' + WEIGHT, numbered('roi_head.mask_iou_head.convs.{}.{}', 1)),
        (mask_iou + r'maskiou_fc(\d+)\.' + WEIGHT, numbered('roi_head.mask_iou_head.fcs.{}.{}', 1)),
    )


MASK = r'roi_heads\.mask_head\.'
MASK_IOU = r'roi_heads\.maskiou_head\.'
WEIGHT = r'(weight|bias)'

RESNET_RULES = (
    (PREFIX + r'stem\.conv1\.weight', 'backbone.conv1.weight'),
    (PREFIX + r'stem\.conv1\.norm\.(\w+)', r'backbone.bn1.\1'),
    (
        PREFIX + r'res([2-5])\.(\d+)\.conv([123])\.weight',
        lambda m: f'backbone.layer{int(m[1]) - 1}.{m[2]}.conv{m[3]}.weight',
    ),
    (
        PREFIX + r'res([2-5])\.(\d+)\.conv([123])\.norm\.(\w+)',
        lambda m: f'backbone.layer{int(m[1]) - 1}.{m[2]}.bn{m[3]}.{m[4]}',
    ),
    (
        PREFIX + r'res([2-5])\.(\d+)\.shortcut\.weight',
        lambda m: f'backbone.layer{int(m[1]) - 1}.{m[2]}.downsample.0.weight',
    ),
    (
        PREFIX + r'res([2-5])\.(\d+)\.shortcut\.norm\.(\w+)',
        lambda m: f'backbone.layer{int(m[1]) - 1}.{m[2]}.downsample.1.{m[3]}',
    ),
)

RULES = (
    *BACKBONE_RULES,
    *RESNET_RULES,
    (r'backbone\.fpn_lateral([345])\.' + WEIGHT, numbered('neck.lateral_convs.{}.conv.{}', 3)),
    (r'backbone\.fpn_output([345])\.' + WEIGHT, numbered('neck.fpn_convs.{}.conv.{}', 3)),
    (r'backbone\.top_block\.p([67])\.' + WEIGHT, numbered('neck.fpn_convs.{}.conv.{}', 3)),
    *head_rules(r'proposal_generator\.fcos_head\.', 'ctrness', MASK, MASK_IOU),
    (MASK + r'deconv\.' + WEIGHT, r'roi_head.mask_head.upsample.\1'),
    (MASK + r'predictor\.' + WEIGHT, r'roi_head.mask_head.conv_logits.\1'),
    (MASK_IOU + r'maskiou\.' + WEIGHT, r'roi_head.mask_iou_head.fc_mask_iou.\1'),
)


@FORMATS.register_module('centermask2')
class CenterMask2Format(Format):
    """Detectors of centermask2, and ImageNet files of its backbones."""

    title = 'centermask2 (detectron2)'
    rules = RULES
