# CenterMask, ResNeXt-101-32x8d. Its ImageNet weights want images divided by the standard deviation.
_base_ = './centermask_r50_fpn_ms-3x_coco.py'

model = dict(
    data_preprocessor=dict(std=[57.375, 57.12, 58.395]),
    backbone=dict(
        type='ResNeXt',
        depth=101,
        groups=32,
        base_width=8,
        style='pytorch',
        init_cfg=dict(type='Pretrained', checkpoint='open-mmlab://detectron2/resnext101_32x8d'),
    ),
)
