from .ltrb_iou_loss import LTRBIoULoss, ltrb_iou_loss

__all__ = ['LTRBIoULoss', 'ltrb_iou_loss']
