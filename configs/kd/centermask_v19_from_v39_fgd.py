# As centermask_v19_from_v39.py with FGD in place of its losses, on all five levels of the pyramid. It reads the boxes.
_base_ = './centermask_v19_from_v39.py'

fgd = dict(
    taps='neck',
    connector='conv1x1',
    reduce='sum',
    loss=dict(type='mmkd.FGDLoss', channels=256, levels=5),  # the teacher's channels
)
model = dict(distill=dict(_delete_=True, fgd=fgd))
