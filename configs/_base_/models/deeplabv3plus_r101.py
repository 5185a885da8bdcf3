# DeepLabV3+ with ResNet-101, output stride 16: the teacher of DeepLabV3+-KD. Convolutions of the last stage dilated by
# 2, 4 and 8; ordinary convolutions in the head.
_base_ = './segmentor.py'

num_classes = 21
norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    backbone=dict(
        type='mmkd.DilatedResNet',
        depth=101,
        deep_stem=False,
        stem_channels=64,
        ceil_mode=False,
        strides=(1, 2, 2, 1),
        dilations=(1, 1, 1, 2),
        multi_grid=(2, 4, 8),
        contract_dilation=False,
        out_indices=(0, 1, 2, 3),
        norm_cfg=norm_cfg,
    ),
    decode_head=dict(
        type='mmkd.DeepLabV3PlusHead',
        in_channels=2048,
        in_index=3,
        channels=256,
        c1_in_channels=256,
        c1_channels=48,
        dilations=(1, 6, 12, 18),
        aspp_dropout_ratio=0.5,
        decoder_dropout_ratio=0.5,
        dropout_ratio=0.1,
        num_classes=num_classes,
        norm_cfg=norm_cfg,
        align_corners=True,
        # The authors divide the mean over pixels by their batch of 6 once more; learning rate and the weights of
        # distillation are theirs for it. Without a learning rate that is 6 times smaller, 1.0 is another schedule.
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True, loss_weight=1 / 6),
    ),
)
