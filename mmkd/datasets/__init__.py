from .camvid import CamVidDataset
from .depth import CameraRandomCrop, CameraRandomFlip, CameraResize, DepthFolder
from .instance_center_crop_pad import InstanceCenterCropPad
from .random_gaussian_blur import RandomGaussianBlur
from .unlabelled import UnlabelledDataset

__all__ = [
    'CameraRandomCrop',
    'CameraRandomFlip',
    'CameraResize',
    'DepthFolder',
    'CamVidDataset',
    'InstanceCenterCropPad',
    'RandomGaussianBlur',
    'UnlabelledDataset',
]
