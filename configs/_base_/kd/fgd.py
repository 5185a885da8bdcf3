# FGD: features where the objects are, elsewhere, and their relations (Yang et al. 2022). It reads the boxes.

# Those released for one-stage detectors, 1e-3, 5e-4, 1e-3 and 5e-6 on sums, as means over 256 channels (and, in the
# last, over 28 x 28 places).
fgd_weights = dict(fg_weight=0.25, bg_weight=0.125, attention_weight=0.25, global_weight=1.0, loss_weight=1.0)
fgd = dict(
    # all five levels of the pyramid; channels are the teacher's
    pyramid=dict(
        taps='neck',
        connector='conv1x1',
        reduce='sum',
        loss=dict(type='mmkd.FGDLoss', channels=256, levels=5, **fgd_weights),
    ),
)
