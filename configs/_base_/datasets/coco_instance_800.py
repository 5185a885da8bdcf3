# COCO 2017 instance segmentation; shorter side 640 to 800 in training, 800 in testing, as in detectron2.
# The data lie in coco/ below the folder that the environment variable MMKD_DATA names, else data/.
dataset_type = 'CocoDataset'
data_root = '{{$MMKD_DATA:data}}/coco/'
backend_args = None
train_scales = [(1333, 640), (1333, 672), (1333, 704), (1333, 736), (1333, 768), (1333, 800)]
test_scale = (1333, 800)

# Pillow smooths when it makes an image smaller, as in the original. Masks stay polygons where
# the file has them, so that targets are exact; run-length codes become bitmaps.
load_image = dict(type='LoadImageFromFile', imdecode_backend='pillow', backend_args=backend_args)
load_annotations = dict(type='mmkd.LoadInstanceAnnotations', with_bbox=True, with_mask=True)
train_pipeline = [
    load_image,
    load_annotations,
    dict(type='RandomChoiceResize', scales=train_scales, resize_type='mmdet.Resize', keep_ratio=True, backend='pillow'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    load_image,
    dict(type='Resize', scale=test_scale, keep_ratio=True, backend='pillow'),
    load_annotations,
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]

train_dataloader = dict(
    batch_size=2,
    num_workers=2,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=train_pipeline,
        backend_args=backend_args,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017/'),
        test_mode=True,
        pipeline=test_pipeline,
        backend_args=backend_args,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(
    type='CocoMetric',
    ann_file=data_root + 'annotations/instances_val2017.json',
    metric=['bbox', 'segm'],
    format_only=False,
    backend_args=backend_args,
)
test_evaluator = val_evaluator

# tools/test.py --tta
tta_model = dict(type='mmkd.InstanceTTAModel', tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.6), max_per_img=100))
tta_scales = [(1333, 640), (1333, 800), (1333, 960)]
tta_pipeline = [
    load_image,
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale=scale, keep_ratio=True, backend='pillow') for scale in tta_scales],
            [dict(type='RandomFlip', prob=1.0), dict(type='RandomFlip', prob=0.0)],
            [load_annotations],
            [
                dict(
                    type='PackDetInputs',
                    meta_keys=(
                        'img_id',
                        'img_path',
                        'ori_shape',
                        'img_shape',
                        'scale_factor',
                        'flip',
                        'flip_direction',
                    ),
                )
            ],
        ],
    ),
]
