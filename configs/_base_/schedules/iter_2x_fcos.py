# "2x" of FCOS: 180 000 iterations of 16 images.
_base_ = './iter_1x_fcos.py'

train_cfg = dict(max_iters=180000)
param_scheduler = [
    dict(type='ConstantLR', factor=1.0 / 3, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', begin=0, end=180000, by_epoch=False, milestones=[120000, 160000], gamma=0.1),
]
