"""Files of the ESPNets of structured knowledge distillation (branch ``cvpr_19``)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from .engine import Family, rename_by_rules

__all__ = ['ESPNET']

PREFIX = r'(?:student\.|module\.)*'

RULES = (
    (PREFIX + r'((?:level1|b1|level2_0|level2|b2|level3_0|level3|b3)\..+)', r'backbone.\1'),
    (PREFIX + r'((?:classifier_1|br|up_l3|level3_C|combine_l2_l3|up_l2|conv)\..+)', r'decode_head.\1'),
    # a transposed convolution in ESPNet, a wrapped 1x1 convolution in ESPNet-C
    (PREFIX + r'classifier\.(?:conv\.)?weight', 'decode_head.conv_seg.weight'),
)


def _rename(name: str, names: Mapping[str, Tensor]) -> str | None:
    return rename_by_rules(name, RULES)


ESPNET = Family('ESPNet (structured knowledge distillation)', _rename)
