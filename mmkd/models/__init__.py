from .backbones import (
    DLA,
    BlockPaddedMobileNetV2,
    DilatedMobileNetV2,
    DilatedResNet,
    EfficientNetLite,
    ESPNet,
    MobileNetV2,
    TimmBackbone,
    VoVNet,
)
from .decode_heads import DeepLabV3PlusHead, ESPNetCHead, ESPNetHead, LateralPyramidHead, LightPyramidHead
from .dense_heads import CenterMaskFCOSHead, PointCenterMaskHead
from .detectors import CenterMask, PointCenterMask
from .losses import (
    CenterFocalLoss,
    DepthBinLoss,
    FocalOfMeanLoss,
    LTRBIoULoss,
    ProductMaskLoss,
    VirtualNormalLoss,
    center_focal_loss,
    depth_bin_loss,
    ltrb_iou_loss,
    product_bce,
    virtual_normal_loss,
)
from .necks import DLANeck
from .roi_heads import AdaptiveRoIExtractor, CenterMaskIoUHead, CenterMaskRoIHead, SpatialAttentionMaskHead
from .test_time_augs import InstanceTTAModel

__all__ = [
    'DepthBinLoss',
    'LateralPyramidHead',
    'LightPyramidHead',
    'VirtualNormalLoss',
    'depth_bin_loss',
    'virtual_normal_loss',
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
    'EfficientNetLite',
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
    'TimmBackbone',
    'VoVNet',
    'center_focal_loss',
    'product_bce',
    'ltrb_iou_loss',
]
