"""A detector that trains in a second: the real data loader, losses and evaluation, and hardly any network."""

_base_ = ['mmdet::_base_/default_runtime.py']

data_root = '{{ fileDirname }}/../data/nuclei/'
metainfo = dict(classes=('nucleus',))
norm_cfg = dict(type='GN', num_groups=4, requires_grad=True)
model = dict(
    type='FCOS',
    data_preprocessor=dict(
        type='DetDataPreprocessor', mean=[0.0, 0.0, 0.0], std=[255.0, 255.0, 255.0], pad_size_divisor=32
    ),
    backbone=dict(type='ResNet', depth=18, base_channels=4, out_indices=(1, 2, 3), init_cfg=None),
    neck=dict(type='FPN', in_channels=[8, 16, 32], out_channels=8, add_extra_convs='on_output', num_outs=5),
    bbox_head=dict(type='FCOSHead', num_classes=1, in_channels=8, feat_channels=8, stacked_convs=1, norm_cfg=norm_cfg),
    test_cfg=dict(nms_pre=100, score_thr=0.0, nms=dict(type='nms', iou_threshold=0.6), max_per_img=10),
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(64, 64), keep_ratio=True),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(64, 64), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='CocoDataset',
        data_root=data_root,
        metainfo=metainfo,
        ann_file='instances_train.json',
        data_prefix=dict(img='train/'),
        indices=8,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        train_dataloader['dataset'],
        ann_file='instances_val.json',
        data_prefix=dict(img='val/'),
        test_mode=True,
        indices=2,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='CocoMetric', ann_file=data_root + 'instances_val.json', metric='bbox')
test_evaluator = val_evaluator

train_cfg = dict(type='IterBasedTrainLoop', max_iters=2, val_interval=100)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.001, momentum=0.9))
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=1), logger=dict(interval=1))
log_processor = dict(by_epoch=False)
randomness = dict(seed=0)
