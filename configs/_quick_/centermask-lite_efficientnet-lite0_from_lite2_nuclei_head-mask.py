# As centermask-lite_efficientnet-lite0_from_lite2_nuclei_head.py, and masks and mask IoUs on the RoIs of the student.
_base_ = './centermask-lite_efficientnet-lite0_from_lite2_nuclei_head.py'

model = dict(distill=dict(mask={{_base_.kd_terms.mask}}))
