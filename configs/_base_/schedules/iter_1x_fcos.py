# "1x" of FCOS: 90 000 iterations of 16 images, constant warm-up, biases at twice the learning rate and without decay.
_base_ = './iter_3x.py'

train_cfg = dict(max_iters=90000)
param_scheduler = [
    dict(type='ConstantLR', factor=1.0 / 3, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', begin=0, end=90000, by_epoch=False, milestones=[60000, 80000], gamma=0.1),
]
optim_wrapper = dict(
    paramwise_cfg=dict(_delete_=True, bias_lr_mult=2.0, bias_decay_mult=0.0), clip_grad=dict(max_norm=35, norm_type=2)
)
