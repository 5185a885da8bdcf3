# Correlation: how the channels of consecutive features go together (the FSP matrix of Yim et al. 2017).
fsp = dict(
    # CenterMask_KD: C2 to C5 and P7. Student and teacher have equally many channels in the stages; on P7 a connector
    # bridges 128 and 256. Sum over four pairs, divided by five; it begins when the student has warmed up.
    centermask=dict(
        taps=['backbone.stage2', 'backbone.stage3', 'backbone.stage4', 'backbone.stage5', 'neck.fpn_convs.4'],
        connector=[None, None, None, None, 'conv1x1'],
        start_iter=500,
        loss=dict(type='mmkd.FSPLoss', reduction='sum', loss_weight=0.2),
    ),
)
