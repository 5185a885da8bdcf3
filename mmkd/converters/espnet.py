"""Files of the ESPNets of structured knowledge distillation (branch ``cvpr_19``)."""

from __future__ import annotations

from .format import FORMATS, Format

__all__ = ['ESPNetFormat']

PREFIX = r'(?:student\.|module\.)*'

RULES = (
    (PREFIX + r'((?:level1|b1|level2_0|level2|b2|level3_0|level3|b3)\..+)', r'backbone.\1'),
    (PREFIX + r'((?:classifier_1|br|up_l3|level3_C|combine_l2_l3|up_l2|conv)\..+)', r'decode_head.\1'),
    # a transposed convolution in ESPNet, a wrapped 1x1 convolution in ESPNet-C
    (PREFIX + r'classifier\.(?:conv\.)?weight', 'decode_head.conv_seg.weight'),
)


@FORMATS.register_module('espnet')
class ESPNetFormat(Format):
    """ESPNets and ESPNet-Cs, teachers and students."""

    title = 'ESPNet (structured knowledge distillation)'
    rules = RULES
