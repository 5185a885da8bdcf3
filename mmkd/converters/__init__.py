"""Turning checkpoints of other code bases into mmkd's."""

from .centermask_v1 import CENTERMASK_V1
from .detectron2 import CENTERMASK2
from .engine import Conversion, Family, convert_file, convert_state_dict
from .timm import VOVNET_TIMM, fold_normalization, note_normalization

__all__ = [
    'CENTERMASK2',
    'CENTERMASK_V1',
    'VOVNET_TIMM',
    'Conversion',
    'Family',
    'convert_file',
    'convert_state_dict',
    'fold_normalization',
    'note_normalization',
]
