# CenterMask with point representation (Wang et al., CVPR 2020) on Hourglass-104: two stacks, each with a head.
_base_ = './point-centermask_dla34.py'

model = dict(
    # 4 times in the stem, 32 times in each hourglass
    data_preprocessor=dict(pad_size_divisor=128),
    backbone=dict(
        _delete_=True,
        type='HourglassNet',
        downsample_times=5,
        num_stacks=2,
        stage_channels=[256, 256, 384, 384, 384, 512],
        stage_blocks=[2, 2, 2, 2, 2, 4],
        feat_channel=256,
        norm_cfg=dict(type='BN', requires_grad=True),
    ),
    neck=None,
    bbox_head=dict(in_channels=256, num_stacks=2),
)
