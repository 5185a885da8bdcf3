from .center_mask import CenterMask
from .point_center_mask import PointCenterMask

__all__ = ['CenterMask', 'PointCenterMask']
