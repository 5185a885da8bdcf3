from .center_focal_loss import CenterFocalLoss, center_focal_loss
from .depth_bin_loss import DepthBinLoss, DepthBins, depth_bin_loss
from .focal_of_mean_loss import FocalOfMeanLoss
from .ltrb_iou_loss import LTRBIoULoss, ltrb_iou_loss
from .product_mask_loss import ProductMaskLoss, product_bce
from .virtual_normal_loss import VirtualNormalLoss, virtual_normal_loss

__all__ = [
    'DepthBinLoss',
    'DepthBins',
    'VirtualNormalLoss',
    'depth_bin_loss',
    'virtual_normal_loss',
    'CenterFocalLoss',
    'ProductMaskLoss',
    'center_focal_loss',
    'product_bce',
    'FocalOfMeanLoss',
    'LTRBIoULoss',
    'ltrb_iou_loss',
]
