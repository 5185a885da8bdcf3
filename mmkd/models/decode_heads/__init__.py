from .deeplabv3plus_head import DeepLabV3PlusHead
from .espnet_head import ESPNetCHead, ESPNetHead

__all__ = ['DeepLabV3PlusHead', 'ESPNetCHead', 'ESPNetHead']
