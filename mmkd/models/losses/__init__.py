from .focal_of_mean_loss import FocalOfMeanLoss
from .ltrb_iou_loss import LTRBIoULoss, ltrb_iou_loss

__all__ = ['FocalOfMeanLoss', 'LTRBIoULoss', 'ltrb_iou_loss']
