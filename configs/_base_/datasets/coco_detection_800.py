# COCO 2017 boxes; shorter side 800 in training and testing. In data/coco, see coco_instance_800.py.
_base_ = './coco_instance_800.py'

load_boxes = dict(type='LoadAnnotations', with_bbox=True)
train_pipeline = [
    _base_.load_image,
    load_boxes,
    dict(type='Resize', scale=(1333, 800), keep_ratio=True, backend='pillow'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    _base_.load_image,
    dict(type='Resize', scale=(1333, 800), keep_ratio=True, backend='pillow'),
    load_boxes,
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(metric='bbox')
test_evaluator = val_evaluator

# tools/test.py --tta
tta_model = dict(
    _delete_=True, type='DetTTAModel', tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=100)
)
tta_pipeline = [
    _base_.load_image,
    dict(
        type='TestTimeAug',
        transforms=[
            *_base_.tta_pipeline[1].transforms[:2],
            [load_boxes],
            _base_.tta_pipeline[1].transforms[3],
        ],
    ),
]
