# CenterMask-Lite: half the channels and half the convolutions in every head.
_base_ = './centermask_fpn.py'

model = dict(
    backbone=dict(arch='V-19-eSE'),
    neck=dict(out_channels=128),
    bbox_head=dict(in_channels=128, feat_channels=128, stacked_convs=2),
    roi_head=dict(
        mask_roi_extractor=dict(out_channels=128),
        mask_head=dict(num_convs=2, in_channels=128, conv_out_channels=128),
        mask_iou_head=dict(num_convs=2, in_channels=128, conv_out_channels=128),
    ),
)
