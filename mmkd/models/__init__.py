from .backbones import DilatedMobileNetV2, DilatedResNet, ESPNet, MobileNetV2, VoVNet
from .decode_heads import ESPNetCHead, ESPNetHead
from .dense_heads import CenterMaskFCOSHead
from .detectors import CenterMask
from .losses import LTRBIoULoss, ltrb_iou_loss
from .roi_heads import AdaptiveRoIExtractor, CenterMaskIoUHead, CenterMaskRoIHead, SpatialAttentionMaskHead
from .test_time_augs import InstanceTTAModel

__all__ = [
    'AdaptiveRoIExtractor',
    'CenterMask',
    'CenterMaskFCOSHead',
    'CenterMaskIoUHead',
    'CenterMaskRoIHead',
    'DilatedMobileNetV2',
    'DilatedResNet',
    'ESPNet',
    'ESPNetCHead',
    'ESPNetHead',
    'InstanceTTAModel',
    'LTRBIoULoss',
    'MobileNetV2',
    'SpatialAttentionMaskHead',
    'VoVNet',
    'ltrb_iou_loss',
]
