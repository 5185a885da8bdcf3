# As centermask-lite_v19_from_v19_voc_head-kl.py, and the features themselves.
_base_ = './centermask-lite_v19_from_v19_voc_head-kl.py'

model = dict(distill=dict(mse={{_base_.kd_terms.mse}}))
