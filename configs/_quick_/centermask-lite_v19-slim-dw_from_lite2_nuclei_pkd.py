# As centermask-lite_v19-slim-dw_from_lite2_nuclei_kl.py with PKD in its place, on all five levels of the pyramid.
_base_ = './centermask-lite_v19-slim-dw_from_lite2_nuclei_kl.py'

# 2 on each level, added up: with mmrazor's 6 it is most of the gradient to the end, and gains less
pkd = dict(taps='neck', connector='conv1x1', reduce='sum', loss=dict(type='mmkd.PKDLoss', loss_weight=2.0))
model = dict(distill=dict(_delete_=True, pkd=pkd))
