# DIST: the order of the classes at a place, and of the places in a class (Huang et al. 2022).
dist = dict(
    # a start: nobody has published a weight for means over places and classes
    decode_head=dict(
        taps='decode_head.conv_seg',
        loss=dict(type='mmkd.DISTLoss', inter_weight=1.0, intra_weight=1.0, loss_weight=1.0),
    ),
)
