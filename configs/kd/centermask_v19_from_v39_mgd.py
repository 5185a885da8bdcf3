# As centermask_v19_from_v39.py with MGD in place of its losses, on all five levels of the pyramid.
_base_ = './centermask_v19_from_v39.py'

mgd = dict(
    taps='neck',
    connector=dict(type='mmkd.MaskedGenerationConnector', mask_ratio=0.65),
    reduce='sum',
    # the released 2e-5 is on a sum: of 256 channels at 38 x 63 places, P4 of the student, it is 12 on the mean
    loss=dict(type='mmkd.MGDLoss', loss_weight=12.0),
)
model = dict(distill=dict(_delete_=True, mgd=mgd))
