from .backbones import DLA, BlockPaddedMobileNetV2, DilatedMobileNetV2, DilatedResNet, ESPNet, MobileNetV2, VoVNet
from .decode_heads import DeepLabV3PlusHead, ESPNetCHead, ESPNetHead
from .dense_heads import CenterMaskFCOSHead
from .detectors import CenterMask
from .losses import FocalOfMeanLoss, LTRBIoULoss, ltrb_iou_loss
from .necks import DLANeck
from .roi_heads import AdaptiveRoIExtractor, CenterMaskIoUHead, CenterMaskRoIHead, SpatialAttentionMaskHead
from .test_time_augs import InstanceTTAModel

__all__ = [
    'DLA',
    'AdaptiveRoIExtractor',
    'BlockPaddedMobileNetV2',
    'CenterMask',
    'CenterMaskFCOSHead',
    'CenterMaskIoUHead',
    'CenterMaskRoIHead',
    'DLANeck',
    'DeepLabV3PlusHead',
    'DilatedMobileNetV2',
    'DilatedResNet',
    'ESPNet',
    'ESPNetCHead',
    'ESPNetHead',
    'FocalOfMeanLoss',
    'InstanceTTAModel',
    'LTRBIoULoss',
    'MobileNetV2',
    'SpatialAttentionMaskHead',
    'VoVNet',
    'ltrb_iou_loss',
]
