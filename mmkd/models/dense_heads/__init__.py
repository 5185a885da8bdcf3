from .center_mask_fcos_head import CenterMaskFCOSHead

__all__ = ['CenterMaskFCOSHead']
