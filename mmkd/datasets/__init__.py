from .camvid import CamVidDataset
from .instance_center_crop_pad import InstanceCenterCropPad
from .random_gaussian_blur import RandomGaussianBlur

__all__ = ['CamVidDataset', 'InstanceCenterCropPad', 'RandomGaussianBlur']
