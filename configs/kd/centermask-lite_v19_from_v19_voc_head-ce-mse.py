# As centermask-lite_v19_from_v19_voc_head-ce.py, and the features themselves.
_base_ = './centermask-lite_v19_from_v19_voc_head-ce.py'

model = dict(distill=dict(mse={{_base_.kd_terms.mse}}))
