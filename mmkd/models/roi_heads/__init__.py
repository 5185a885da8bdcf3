from .center_mask_roi_head import CenterMaskRoIHead
from .mask_heads import CenterMaskIoUHead, SpatialAttention, SpatialAttentionMaskHead
from .roi_extractors import AdaptiveRoIExtractor

__all__ = [
    'AdaptiveRoIExtractor',
    'CenterMaskIoUHead',
    'CenterMaskRoIHead',
    'SpatialAttention',
    'SpatialAttentionMaskHead',
]
