# As centermask-lite_v19-slim-dw_from_lite2_nuclei_kl.py, and boxes bounded by the teacher.
_base_ = './centermask-lite_v19-slim-dw_from_lite2_nuclei_kl.py'

model = dict(distill=dict(bounded={{_base_.kd_terms.bounded}}))
