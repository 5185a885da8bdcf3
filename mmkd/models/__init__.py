from .losses import LTRBIoULoss, ltrb_iou_loss

__all__ = ['LTRBIoULoss', 'ltrb_iou_loss']
