"""Checkpoint formats of other code bases, and turning their state dicts into mmkd's; ``mmkd convert`` does it."""

from .centermask import CenterMaskFormat
from .centermask2 import CenterMask2Format
from .deeplab_xception import DeepLabXceptionFormat
from .efficientnet_lite import EfficientNetLiteFormat
from .espnet import ESPNetFormat
from .format import COUNTER, FORMATS, Conversion, Format, convert_state_dict
from .mobilenetv2 import MobileNetV2Format
from .skd_pspnet import SKDPSPNetFormat
from .vovnet_timm import VoVNetTimmFormat

__all__ = [
    'COUNTER',
    'FORMATS',
    'CenterMaskFormat',
    'CenterMask2Format',
    'Conversion',
    'DeepLabXceptionFormat',
    'ESPNetFormat',
    'EfficientNetLiteFormat',
    'Format',
    'MobileNetV2Format',
    'SKDPSPNetFormat',
    'VoVNetTimmFormat',
    'convert_state_dict',
]
