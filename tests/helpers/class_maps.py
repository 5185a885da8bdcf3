"""Class maps with pixels to ignore, as data samples of mmseg have them."""

import torch
from mmengine.structures import BaseDataElement, PixelData


def class_maps(size):
    """The maps (2, H, W) of four classes, in which a corner of 4 x 12 pixels or less is 255, and their data samples."""
    labels = torch.randint(0, 4, (2, *size), generator=torch.Generator().manual_seed(0))
    labels[:, :4, 8:] = 255
    return labels, [BaseDataElement(gt_sem_seg=PixelData(data=label[None])) for label in labels]
