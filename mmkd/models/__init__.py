from .backbones import DLA, BlockPaddedMobileNetV2, DilatedMobileNetV2, DilatedResNet, ESPNet, MobileNetV2, VoVNet
from .decode_heads import DeepLabV3PlusHead, ESPNetCHead, ESPNetHead
from .dense_heads import CenterMaskFCOSHead, PointCenterMaskHead
from .detectors import CenterMask, PointCenterMask
from .losses import (
    CenterFocalLoss,
    FocalOfMeanLoss,
    LTRBIoULoss,
    ProductMaskLoss,
    center_focal_loss,
    ltrb_iou_loss,
    product_bce,
)
from .necks import DLANeck
from .roi_heads import AdaptiveRoIExtractor, CenterMaskIoUHead, CenterMaskRoIHead, SpatialAttentionMaskHead
from .test_time_augs import InstanceTTAModel

__all__ = [
    'DLA',
    'AdaptiveRoIExtractor',
    'BlockPaddedMobileNetV2',
    'CenterFocalLoss',
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
    'PointCenterMask',
    'PointCenterMaskHead',
    'ProductMaskLoss',
    'SpatialAttentionMaskHead',
    'VoVNet',
    'center_focal_loss',
    'product_bce',
    'ltrb_iou_loss',
]
