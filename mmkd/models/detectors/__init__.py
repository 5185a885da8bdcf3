from .center_mask import CenterMask

__all__ = ['CenterMask']
