from .center_mask_fcos_head import CenterMaskFCOSHead
from .fcos_targets import fcos_targets

__all__ = ['CenterMaskFCOSHead', 'fcos_targets']
