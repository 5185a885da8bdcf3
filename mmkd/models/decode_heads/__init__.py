from .deeplabv3plus_head import DeepLabV3PlusHead
from .espnet_head import ESPNetCHead, ESPNetHead
from .lateral_pyramid_head import LateralPyramidHead

__all__ = ['DeepLabV3PlusHead', 'ESPNetCHead', 'ESPNetHead', 'LateralPyramidHead']
