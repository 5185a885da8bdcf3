# As centermask_v19_from_v39.py with PKD in place of its losses, on all five levels of the pyramid.
_base_ = './centermask_v19_from_v39.py'

# 6 on each level, added up, as mmrazor has it for two-stage detectors
pkd = dict(taps='neck', connector='conv1x1', reduce='sum', loss=dict(type='mmkd.PKDLoss', loss_weight=6.0))
model = dict(distill=dict(_delete_=True, pkd=pkd))
