# CenterMask, ResNet-50.
_base_ = './centermask_v19_fpn_ms-3x_coco.py'

# The stem and the first stage are frozen, as are all batch norms.
model = dict(
    backbone=dict(
        _delete_=True,
        type='ResNet',
        depth=50,
        num_stages=4,
        out_indices=(1, 2, 3),
        frozen_stages=1,
        norm_cfg=dict(type='BN', requires_grad=False),
        norm_eval=True,
        style='caffe',
        init_cfg=dict(type='Pretrained', checkpoint='open-mmlab://detectron2/resnet50_caffe'),
    ),
    neck=dict(in_channels=[512, 1024, 2048]),
)
