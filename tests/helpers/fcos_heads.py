"""Small box heads of CenterMask and of mmdet's FCOS, and what goes in and comes out of them."""

import math

import torch
from mmdet.models.dense_heads import FCOSHead
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmkd.models.dense_heads import CenterMaskFCOSHead

STRIDES = (8, 16, 32, 64, 128)
POST = dict(score_thr=0.05, nms_pre=1000, min_bbox_size=-1, nms=dict(type='nms', iou_threshold=0.6), max_per_img=50)


def small_head(num_classes=3, head=CenterMaskFCOSHead, strides=STRIDES, **kwargs):
    torch.manual_seed(0)
    defaults = dict(
        num_classes=num_classes,
        in_channels=4,
        feat_channels=4,
        stacked_convs=1,
        strides=strides,
        norm_cfg=dict(type='GN', num_groups=2),
        test_cfg=ConfigDict(POST),
    )
    if len(strides) != 5:
        defaults['regress_ranges'] = ((-1, 1e8),) * len(strides)
    return head(**(defaults | kwargs))


def plain_fcos_head(**kwargs):
    """mmdet's own head, set to the same network and targets as CenterMask's."""
    kwargs = dict(norm_on_bbox=True, centerness_on_reg=True, center_sampling=True, conv_bias=True) | kwargs
    return small_head(head=FCOSHead, **kwargs)


def sample(boxes, labels, height=128, width=160, **meta):
    instances = InstanceData(
        bboxes=torch.as_tensor(boxes).float().reshape(-1, 4), labels=torch.as_tensor(labels).long()
    )
    meta = dict(img_shape=(height, width), ori_shape=(height, width), scale_factor=(1.0, 1.0)) | meta
    return DetDataSample(metainfo=meta, gt_instances=instances)


def features(batch=1, height=128, width=160, strides=STRIDES, channels=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        torch.randn(batch, channels, math.ceil(height / s), math.ceil(width / s), generator=generator) for s in strides
    )


def one_level_outputs(cells, distances=1.0, num_classes=3, shape=(4, 4), base=-20.0):
    """Outputs of one level with the given ``{(class, row, column): (class probability, centreness)}``."""
    cls_score = torch.full((1, num_classes, *shape), base)
    centerness = torch.full((1, 1, *shape), base)
    for (label, row, column), (probability, centre) in cells.items():
        cls_score[0, label, row, column] = math.log(probability / (1 - probability))
        centerness[0, 0, row, column] = math.log(centre / (1 - centre))
    return [cls_score], [torch.full((1, 4, *shape), float(distances))], [centerness]


META = [dict(img_shape=(32, 32), ori_shape=(32, 32), scale_factor=(1.0, 1.0))]
