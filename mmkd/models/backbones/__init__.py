from .block_padded_mobilenet_v2 import BlockPaddedMobileNetV2
from .dilated_mobilenet_v2 import DilatedMobileNetV2
from .dilated_resnet import DilatedResNet
from .dla import DLA
from .efficientnet_lite import EfficientNetLite
from .espnet import ESPNet
from .mobilenet_v2 import MobileNetV2
from .timm_backbone import TimmBackbone
from .vovnet import VoVNet

__all__ = [
    'DLA',
    'BlockPaddedMobileNetV2',
    'DilatedMobileNetV2',
    'DilatedResNet',
    'ESPNet',
    'EfficientNetLite',
    'MobileNetV2',
    'TimmBackbone',
    'VoVNet',
]
