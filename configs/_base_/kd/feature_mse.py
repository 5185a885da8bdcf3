# Features themselves: mean squared error.
feature_mse = dict(
    # CenterMask_KD: C2 to C5 and P7, as in fsp.py. The sum over five features, divided by five.
    centermask=dict(
        taps=['backbone.stage2', 'backbone.stage3', 'backbone.stage4', 'backbone.stage5', 'neck.fpn_convs.4'],
        connector=[None, None, None, None, 'conv1x1'],
        start_iter=500,
        loss=dict(type='mmkd.FeatureMSELoss', loss_weight=1.0),
    ),
)
