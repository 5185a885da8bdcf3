from .backbones import MobileNetV2, VoVNet
from .dense_heads import CenterMaskFCOSHead
from .detectors import CenterMask
from .losses import LTRBIoULoss, ltrb_iou_loss
from .roi_heads import AdaptiveRoIExtractor, CenterMaskIoUHead, CenterMaskRoIHead, SpatialAttentionMaskHead

__all__ = [
    'AdaptiveRoIExtractor',
    'CenterMask',
    'CenterMaskFCOSHead',
    'CenterMaskIoUHead',
    'CenterMaskRoIHead',
    'LTRBIoULoss',
    'MobileNetV2',
    'SpatialAttentionMaskHead',
    'VoVNet',
    'ltrb_iou_loss',
]
