# 10 000 iterations of 16 images: about a hundred epochs of a set of 1 500.
_base_ = './iter_3x.py'

train_cfg = dict(max_iters=10000, val_interval=1000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', begin=0, end=10000, by_epoch=False, milestones=[7500, 9000], gamma=0.1),
]
