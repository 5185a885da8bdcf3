# As voc2012_c16.py with four times the channels in the head and a longer schedule: the teacher of
# the reduced runs on VOC 2012.
_base_ = './voc2012_c16.py'

max_iters = 600
model = dict(decode_head=dict(channels=64))
train_cfg = dict(max_iters=max_iters, val_interval=300)
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=0.0, begin=0, end=max_iters, by_epoch=False)]
optim_wrapper = dict(optimizer=dict(lr=1e-3), paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=0.1)}))
