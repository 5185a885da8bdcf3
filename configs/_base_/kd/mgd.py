# MGD: of a part of the student's places, the others masked, the teacher's whole feature is generated (Yang et al. 2022).
# The released 2e-5 is on a sum over channels and places: times their number it is the weight of our mean.
mgd = dict(
    # all levels of the pyramid; 256 channels at 38 x 63 places, P4 of a Lite student: 12
    pyramid=dict(
        taps='neck',
        connector=dict(type='mmkd.MaskedGenerationConnector', mask_ratio=0.65),
        reduce='sum',
        loss=dict(type='mmkd.MGDLoss', loss_weight=12.0),
    ),
    # the features after the pyramid; 512 channels at 45 x 60 places: 28
    pspnet=dict(
        taps='decode_head.bottleneck',
        connector=dict(type='mmkd.MaskedGenerationConnector', mask_ratio=0.75),
        loss=dict(type='mmkd.MGDLoss', loss_weight=28.0),
    ),
)
