# CenterMask, ResNet-101.
_base_ = './centermask_r50_fpn_ms-3x_coco.py'

model = dict(
    backbone=dict(
        depth=101,
        init_cfg=dict(type='Pretrained', checkpoint='open-mmlab://detectron2/resnet101_caffe'),
    )
)
