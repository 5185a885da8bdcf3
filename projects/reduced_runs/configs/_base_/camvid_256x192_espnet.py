# CamVid at 256 x 192 and a schedule of minutes on a CPU, for ESPNet. Labels are scored at 480 x 360.
_base_ = ['mmkd::_base_/datasets/camvid.py', 'mmkd::_base_/seg_runtime.py']

size = (256, 192)
crop_size = (192, 256)
max_iters = 1000

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomChoiceResize', scales=[(256 * tenths // 10, 192 * tenths // 10) for tenths in range(7, 18)]),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
# the labels are loaded after the resizing and keep their size; predictions are brought to it
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=size, keep_ratio=True),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=4, num_workers=0, persistent_workers=False, pin_memory=False, dataset=dict(pipeline=train_pipeline)
)
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=test_pipeline))

# Adam, as ESPNet was trained by its authors: the size of its steps does not depend on how many losses are added up
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=250)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-3, weight_decay=5e-4))
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=0.0, begin=0, end=max_iters, by_epoch=False)]
auto_scale_lr = dict(enable=False, base_batch_size=4)
randomness = dict(seed=0)
default_hooks = dict(checkpoint=dict(interval=250, max_keep_ckpts=1))
