# As centermask-lite_efficientnet-lite0_from_lite2_nuclei_kl.py with PKD in its place, on the levels of the pyramid where nuclei are.
_base_ = './centermask-lite_efficientnet-lite0_from_lite2_nuclei_kl.py'

# 3 on each level, added up: half of mmrazor's, with which it would be most of the gradient to the end
pkd = dict(
    taps='neck', levels=(0, 1, 2), connector='conv1x1', reduce='sum', loss=dict(type='mmkd.PKDLoss', loss_weight=3.0)
)
model = dict(distill=dict(_delete_=True, pkd=pkd))
