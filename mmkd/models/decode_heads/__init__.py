from .deeplabv3plus_head import DeepLabV3PlusHead
from .espnet_head import ESPNetCHead, ESPNetHead
from .lateral_pyramid_head import LateralPyramidHead
from .light_pyramid_head import LightPyramidHead

__all__ = ['DeepLabV3PlusHead', 'ESPNetCHead', 'ESPNetHead', 'LateralPyramidHead', 'LightPyramidHead']
