from .camvid import CamVidDataset
from .checked_pipeline import CheckedPipeline, SampleError
from .depth import CameraRandomCrop, CameraRandomFlip, CameraResize, DepthFolder
from .fixed_ratio_sampler import FixedRatioSampler
from .image_folder import ImageFolder, LoadNoLabels
from .instance_center_crop_pad import InstanceCenterCropPad
from .load_instance_annotations import LoadInstanceAnnotations
from .random_gaussian_blur import RandomGaussianBlur
from .seeded_sampler import SeededSampler
from .unlabelled import UnlabelledDataset

__all__ = [
    'CameraRandomCrop',
    'CameraRandomFlip',
    'CameraResize',
    'DepthFolder',
    'CamVidDataset',
    'CheckedPipeline',
    'FixedRatioSampler',
    'ImageFolder',
    'InstanceCenterCropPad',
    'LoadInstanceAnnotations',
    'LoadNoLabels',
    'RandomGaussianBlur',
    'SampleError',
    'SeededSampler',
    'UnlabelledDataset',
]
