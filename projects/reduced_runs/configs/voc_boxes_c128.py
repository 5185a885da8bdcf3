# As voc_boxes_c32.py with 128 channels, two convolutions in each tower and a longer schedule: the teacher of the
# reduced runs of detection.
_base_ = './voc_boxes_c32.py'

model = dict(
    neck=dict(out_channels=128),
    bbox_head=dict(in_channels=128, feat_channels=128, stacked_convs=2, norm_cfg=dict(num_groups=32)),
)
max_iters = 2000
train_cfg = dict(max_iters=max_iters)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='PolyLR', power=0.9, eta_min=0.0, begin=50, end=max_iters, by_epoch=False),
]
