# The teacher on CamVid: EfficientNet-Lite2, crops of the whole size (four times a student's).
_base_ = ['_base_/efficientnet_pyramid.py', '_base_/camvid_256x192.py']

crop_size = (192, 256)
max_iters = 900
model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(name='tf_efficientnet_lite2', ckpt='efficientnet-lite2', frozen_stages=1),
    decode_head=dict(in_channels=[24, 48, 120, 352]),
)
train_pipeline = [
    dict(step, crop_size=crop_size) if step['type'] == 'RandomCrop' else step for step in _base_.train_pipeline
]
train_dataloader = dict(batch_size=8, dataset=dict(pipeline=train_pipeline))
train_cfg = dict(max_iters=max_iters, val_interval=300)
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=0.0, begin=0, end=max_iters, by_epoch=False)]
default_hooks = dict(checkpoint=dict(interval=300))
