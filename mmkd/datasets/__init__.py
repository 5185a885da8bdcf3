from .camvid import CamVidDataset
from .random_gaussian_blur import RandomGaussianBlur

__all__ = ['CamVidDataset', 'RandomGaussianBlur']
