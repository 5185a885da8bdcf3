# "4x" of the Lite models: 360 000 iterations of 16 images.
_base_ = './iter_3x.py'

train_cfg = dict(max_iters=360000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', begin=0, end=360000, by_epoch=False, milestones=[300000, 340000], gamma=0.1),
]
