# 120 epochs of the 1,464 images of VOC 2012 in batches of 6, counted in iterations: 244 an epoch. As for DeepLabV3+-KD.
max_iters = 29280
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=2440)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

# the backbone, which has seen ImageNet, at a tenth of the rate of what begins at random
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.007, momentum=0.9, weight_decay=5e-4),
    paramwise_cfg=dict(custom_keys={'decode_head': dict(lr_mult=10.0), 'connectors': dict(lr_mult=10.0)}),
    clip_grad=None,
)
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=0.0, begin=0, end=max_iters, by_epoch=False)]
auto_scale_lr = dict(enable=False, base_batch_size=6)
randomness = dict(seed=1)
