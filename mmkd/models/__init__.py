from .dense_heads import CenterMaskFCOSHead
from .losses import LTRBIoULoss, ltrb_iou_loss

__all__ = ['CenterMaskFCOSHead', 'LTRBIoULoss', 'ltrb_iou_loss']
