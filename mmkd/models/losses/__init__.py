from .center_focal_loss import CenterFocalLoss, center_focal_loss
from .focal_of_mean_loss import FocalOfMeanLoss
from .ltrb_iou_loss import LTRBIoULoss, ltrb_iou_loss
from .product_mask_loss import ProductMaskLoss, product_bce

__all__ = [
    'CenterFocalLoss',
    'ProductMaskLoss',
    'center_focal_loss',
    'product_bce',
    'FocalOfMeanLoss',
    'LTRBIoULoss',
    'ltrb_iou_loss',
]
