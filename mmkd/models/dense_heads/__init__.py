from .center_mask_fcos_head import CenterMaskFCOSHead
from .fcos_targets import fcos_targets
from .point_center_mask_head import PointCenterMaskHead

__all__ = ['CenterMaskFCOSHead', 'PointCenterMaskHead', 'fcos_targets']
