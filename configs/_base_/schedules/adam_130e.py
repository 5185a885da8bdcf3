# Adam, 130 epochs, the learning rate divided by 10 after 100 and 120.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=130, val_interval=10)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

param_scheduler = [dict(type='MultiStepLR', begin=0, end=130, by_epoch=True, milestones=[100, 120], gamma=0.1)]
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=2.5e-4))
# The learning rate above is for 8 GPUs with 4 images each.
auto_scale_lr = dict(enable=False, base_batch_size=32)
