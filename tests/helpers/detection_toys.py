"""Two small CenterMasks, one of which teaches the other, and batches for them."""

import torch

from helpers.tiny_center_mask import image_sample, packed_batch, tiny_center_mask, tiny_config
from mmkd.distillation.algorithms import DenseDistill
from mmkd.registry import MODELS

BOXES = ([8, 8, 56, 60], [40, 20, 120, 90], [70, 4, 100, 40])
__all__ = ['BOXES', 'batch', 'build', 'image_sample', 'teacher_config']


def teacher_config(channels=16, **overrides):
    """A CenterMask whose pyramid is twice as wide as the student's."""
    config = tiny_config(**overrides)
    config['neck']['out_channels'] = channels
    config['bbox_head'].update(in_channels=channels, feat_channels=channels)
    roi_head = config['roi_head']
    roi_head['mask_roi_extractor']['out_channels'] = channels
    for head in ('mask_head', 'mask_iou_head'):
        if head in roi_head:
            roi_head[head].update(in_channels=channels, conv_out_channels=channels)
    return config


def build(distill, teacher=None, seed=0, **options):
    """A tiny student that finds boxes from the start, and a teacher of random weights."""
    student = tiny_center_mask(seed=seed)
    torch.manual_seed(seed + 1)
    teacher = MODELS.build(teacher_config() if teacher is None else teacher)
    for module in (teacher.bbox_head.conv_reg, teacher.bbox_head.conv_cls):
        torch.nn.init.normal_(module.weight, std=0.2)
    torch.nn.init.constant_(teacher.bbox_head.conv_reg.bias, 2.0)
    torch.nn.init.normal_(teacher.roi_head.mask_head.conv_logits.weight, std=0.5)
    return DenseDistill(student, teacher, distill=distill, dry_run=dict(size=(64, 64)), **options)


def batch(algorithm, *samples):
    """A batch as the student's loss takes it: two images with objects of different classes, or the given samples."""
    samples = samples or (image_sample(BOXES, [0, 2, 1]), image_sample(BOXES[:1], [1], height=64, width=96))
    data = algorithm.data_preprocessor(packed_batch(*samples), training=True)
    return data['inputs'], data['data_samples']
