# As centermask-lite_v19_from_v19_coco_head-kl.py, and masks and mask IoUs on the RoIs of the student.
_base_ = './centermask-lite_v19_from_v19_coco_head-kl.py'

model = dict(distill=dict(mask={{_base_.kd_terms.mask}}))
