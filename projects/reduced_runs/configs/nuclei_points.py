# CenterMask with point representation on sixty images of nuclei, in minutes on a CPU.
_base_ = ['mmkd::_base_/models/point-centermask_dla34.py', '../../nuclei_example/configs/_base_/nuclei.py']

max_iters = 300
model = dict(
    backbone=dict(depth='46_c', out_indices=(2, 3, 4)),
    neck=dict(in_channels=(64, 64, 128), conv_cfg=None),
    bbox_head=dict(
        num_classes=1,
        feat_channels=64,
        shape_size=16,
        saliency='class_agnostic',
        # Taught by the union of the masks as well: in so short a training the product alone leaves it at 1 everywhere.
        loss_saliency=dict(type='CrossEntropyLoss', use_sigmoid=True),
    ),
)
# Batch norm learns from few images: smaller steps than models with GroupNorm take.
optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=20, end=max_iters, T_max=max_iters - 20, eta_min=1e-5),
]
