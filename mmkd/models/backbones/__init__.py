from .mobilenet_v2 import MobileNetV2
from .vovnet import VoVNet

__all__ = ['MobileNetV2', 'VoVNet']
