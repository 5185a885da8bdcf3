"""The shipped CenterMask-Lite with some ten thousand parameters: a small ResNet, 8 channels, one convolution a head."""

_base_ = '../../configs/_base_/models/centermask-lite_fpn.py'

channels = 8
model = dict(
    data_preprocessor=dict(type='mmdet.DetDataPreprocessor'),  # also where no scope is set
    backbone=dict(_delete_=True, type='ResNet', depth=18, base_channels=4, out_indices=(1, 2, 3), norm_eval=True),
    neck=dict(in_channels=[8, 16, 32], out_channels=channels),
    bbox_head=dict(
        in_channels=channels, feat_channels=channels, stacked_convs=1, norm_cfg=dict(type='GN', num_groups=2)
    ),
    roi_head=dict(
        mask_roi_extractor=dict(out_channels=channels),
        mask_head=dict(num_convs=1, in_channels=channels, conv_out_channels=channels),
        mask_iou_head=dict(
            num_convs=1, num_fcs=1, in_channels=channels, conv_out_channels=channels, fc_out_channels=16
        ),
    ),
)
