from .center_mask_iou_head import CenterMaskIoUHead
from .spatial_attention_mask_head import SpatialAttention, SpatialAttentionMaskHead, select_class

__all__ = ['CenterMaskIoUHead', 'SpatialAttention', 'SpatialAttentionMaskHead', 'select_class']
