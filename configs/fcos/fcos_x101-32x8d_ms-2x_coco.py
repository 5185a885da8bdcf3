# FCOS, ResNeXt-101-32x8d, shorter side 640 to 800: the teacher of structured knowledge distillation (Liu et al., 2020).
_base_ = [
    '../_base_/models/fcos_x101.py',
    '../_base_/datasets/coco_detection_800.py',
    '../_base_/schedules/iter_2x_fcos.py',
    '../_base_/det_runtime.py',
]

train_pipeline = [
    _base_.load_image,
    _base_.load_boxes,
    dict(
        type='RandomChoiceResize',
        scales=_base_.train_scales,
        resize_type='mmdet.Resize',
        keep_ratio=True,
        backend='pillow',
    ),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
