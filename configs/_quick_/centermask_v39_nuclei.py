# The teacher of the demo: VoVNetV2-39 up to its stage 4, the heads of the Lite models, trained longer than the student.
_base_ = './centermask-lite_v19-slim_nuclei.py'

channels = 128
max_iters = 180
model = dict(
    backbone=dict(arch='V-39-eSE'),
    neck=dict(in_channels=[256, 512, 768], out_channels=channels),
    bbox_head=dict(in_channels=channels, feat_channels=channels),
    roi_head=dict(
        mask_roi_extractor=dict(out_channels=channels),
        mask_head=dict(in_channels=channels, conv_out_channels=channels),
        mask_iou_head=dict(in_channels=channels, conv_out_channels=channels),
    ),
)
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=20, end=max_iters, T_max=max_iters - 20, eta_min=1e-5),
]
