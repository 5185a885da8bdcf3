# As centermask-lite_efficientnet-lite0_from_lite2_nuclei_head.py, and the correlation of consecutive features.
_base_ = './centermask-lite_efficientnet-lite0_from_lite2_nuclei_head.py'

model = dict(distill=dict(correlation={{_base_.kd_terms.correlation}}))
