# PKD: features that correlate with the teacher's, place by place, whatever their range (Cao et al. 2022).
pkd = dict(
    # 6 on each level of the pyramid, added up, as mmrazor has it for two-stage detectors
    pyramid=dict(taps='neck', connector='conv1x1', reduce='sum', loss=dict(type='mmkd.PKDLoss', loss_weight=6.0)),
)
