# Boxes of VOC 2012 in COCO's format, shorter side 144, and a schedule of minutes on a CPU. In voc_instance/ below the
# folder that MMKD_DATA names, else data/.
_base_ = ['mmkd::_base_/datasets/voc_instance.py', 'mmkd::_base_/det_runtime.py']

scale = (240, 144)
max_iters = 1000

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

# Adam: the size of its steps does not depend on how many losses are added up
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=500)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='AdamW', lr=5e-4, weight_decay=0.01), clip_grad=dict(max_norm=10.0)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='PolyLR', power=0.9, eta_min=0.0, begin=50, end=max_iters, by_epoch=False),
]
auto_scale_lr = dict(enable=False, base_batch_size=8)
randomness = dict(seed=0)
default_hooks = dict(checkpoint=dict(interval=500, max_keep_ckpts=1))
