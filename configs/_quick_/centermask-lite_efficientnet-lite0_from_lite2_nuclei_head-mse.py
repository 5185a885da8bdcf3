# As centermask-lite_efficientnet-lite0_from_lite2_nuclei_head.py, and the features themselves.
_base_ = './centermask-lite_efficientnet-lite0_from_lite2_nuclei_head.py'

model = dict(distill=dict(mse={{_base_.kd_terms.mse}}))
