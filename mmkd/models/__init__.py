from .backbones import MobileNetV2, VoVNet
from .losses import LTRBIoULoss, ltrb_iou_loss

__all__ = ['LTRBIoULoss', 'MobileNetV2', 'VoVNet', 'ltrb_iou_loss']
