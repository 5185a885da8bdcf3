# As centermask-lite_v19-slim-dw_from_lite2_nuclei_head.py, and the features themselves.
_base_ = './centermask-lite_v19-slim-dw_from_lite2_nuclei_head.py'

model = dict(distill=dict(mse={{_base_.kd_terms.mse}}))
