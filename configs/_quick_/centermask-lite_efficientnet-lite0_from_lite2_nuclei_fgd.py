# As centermask-lite_efficientnet-lite0_from_lite2_nuclei_kl.py with FGD in its place, on all five levels of the pyramid.
_base_ = './centermask-lite_efficientnet-lite0_from_lite2_nuclei_kl.py'

fgd = dict(
    taps='neck',
    connector='conv1x1',
    reduce='sum',
    loss=dict(type='mmkd.FGDLoss', channels=96, levels=5),  # the teacher's channels
)
model = dict(distill=dict(_delete_=True, fgd=fgd))
