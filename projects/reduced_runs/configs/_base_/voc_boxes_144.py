# Boxes of VOC 2012 in COCO's format, shorter side 144, and a schedule of minutes on a CPU. In voc_instance/ below the
# folder that MMKD_DATA names, else data/.
_base_ = ['mmkd::_base_/datasets/voc_instance.py', 'mmkd::_base_/det_runtime.py', './adamw_1k.py']

scale = (240, 144)

load_boxes = dict(type='LoadAnnotations', with_bbox=True)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    load_boxes,
    dict(type='RandomResize', scale=scale, ratio_range=(0.8, 1.25), resize_type='mmdet.Resize', keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=scale, keep_ratio=True),
    load_boxes,
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    pin_memory=False,
    dataset=dict(filter_cfg=dict(min_size=0), pipeline=train_pipeline),
)
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(metric='bbox')
test_evaluator = val_evaluator
tta_model = dict(
    _delete_=True, type='DetTTAModel', tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=100)
)
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale=scale, keep_ratio=True)],
            [dict(type='RandomFlip', prob=1.0), dict(type='RandomFlip', prob=0.0)],
            [load_boxes],
            _base_.tta_pipeline[1].transforms[3],
        ],
    ),
]

auto_scale_lr = dict(enable=False, base_batch_size=8)
default_hooks = dict(checkpoint=dict(interval=500, max_keep_ckpts=1))
