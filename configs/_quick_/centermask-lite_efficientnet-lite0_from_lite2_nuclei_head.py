# As centermask-lite_efficientnet-lite0_from_lite2_nuclei_kl.py, and boxes bounded by the teacher.
_base_ = './centermask-lite_efficientnet-lite0_from_lite2_nuclei_kl.py'

model = dict(distill=dict(bounded={{_base_.kd_terms.bounded}}))
