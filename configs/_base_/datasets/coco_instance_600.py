# As coco_instance_800.py, with the sizes of the Lite models: shorter side 580 or 600 in training, 600 in testing.
_base_ = './coco_instance_800.py'

train_scales = [(1000, 580), (1000, 600)]
test_scale = (1000, 600)
tta_scales = [(1000, 500), (1000, 600), (1000, 700)]

train_pipeline = [
    _base_.load_image,
    _base_.load_annotations,
    dict(type='RandomChoiceResize', scales=train_scales, resize_type='mmdet.Resize', keep_ratio=True, backend='pillow'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    _base_.load_image,
    dict(type='Resize', scale=test_scale, keep_ratio=True, backend='pillow'),
    _base_.load_annotations,
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
tta_pipeline = [
    _base_.load_image,
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale=scale, keep_ratio=True, backend='pillow') for scale in tta_scales],
            *_base_.tta_pipeline[1].transforms[1:],
        ],
    ),
]
