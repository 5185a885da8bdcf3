# Virtual normal learning (Yin et al., ICCV 2019): ResNeXt-101 and a pyramid with lateral connections, which sorts the
# depth into 150 bins. RGB, normalised for ImageNet.
_base_ = './segmentor.py'

bins = dict(number=150, min_depth=0.1, max_depth=10.0)
norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    type='DepthEstimator',
    # no padding beside the images counts: depth 0 is no reading
    data_preprocessor=dict(seg_pad_val=0),
    backbone=dict(
        type='ResNeXt',
        depth=101,
        groups=32,
        base_width=4,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        norm_cfg=norm_cfg,
        style='pytorch',
    ),
    decode_head=dict(
        type='mmkd.LateralPyramidHead',
        in_channels=[256, 512, 1024, 2048],
        channels=256,
        bins=bins,
        norm_cfg=norm_cfg,
        align_corners=True,
        loss_decode=dict(type='mmkd.DepthBinLoss', alpha=0.2, loss_weight=1.0),
        loss_normal=dict(type='mmkd.VirtualNormalLoss', loss_weight=5.0),
    ),
)
