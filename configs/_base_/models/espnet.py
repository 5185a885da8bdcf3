# ESPNet (Mehta et al., ECCV 2018): p = 2, q = 8, logits at the full size. Normalised for CamVid, in BGR.
_base_ = './segmentor.py'

num_classes = 11
model = dict(
    data_preprocessor=dict(
        mean=[73.18188461, 82.93553322, 72.41519599],
        std=[45.3199, 46.1528, 44.9148],
        bgr_to_rgb=False,
        test_cfg=dict(size_divisor=8),
    ),
    backbone=dict(type='mmkd.ESPNet'),
    decode_head=dict(
        type='mmkd.ESPNetHead',
        num_classes=num_classes,
        align_corners=True,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True, loss_weight=1.0),
    ),
)
