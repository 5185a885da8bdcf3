# CamVid at 256 x 192 and a schedule of minutes on one core of a CPU. Labels are scored at 480 x 360. What is reported
# is the network at the end of the schedule, on test; no checkpoint is picked. val (every second
# image of it) shows the curve, and serves to tune.
_base_ = ['mmkd::_base_/datasets/camvid.py', 'mmkd::_base_/seg_runtime.py']

crop_size = (96, 128)
max_iters = 1000
val_interval = 250

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomChoiceResize', scales=[(256 * tenths // 10, 192 * tenths // 10) for tenths in range(7, 16)]),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
# the labels are loaded after the resizing and keep their size; predictions are brought to it
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(256, 192), keep_ratio=True),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
in_process = dict(num_workers=0, persistent_workers=False, pin_memory=False)
train_dataloader = dict(batch_size=8, dataset=dict(pipeline=train_pipeline), **in_process)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline, indices=list(range(0, 101, 2))), **in_process)
test_dataloader = dict(dataset=dict(pipeline=test_pipeline), **in_process)

train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=val_interval)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3, weight_decay=1e-2))
# as mmdet's 1x: the rate falls to a tenth after two thirds, and again after eleven twelfths
param_scheduler = [dict(type='MultiStepLR', milestones=[667, 917], by_epoch=False)]
auto_scale_lr = dict(enable=False, base_batch_size=8)
randomness = dict(seed=0)
default_hooks = dict(checkpoint=dict(interval=max_iters, save_best=None))
