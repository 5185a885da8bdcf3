# As centermask-lite_v19_from_v19_coco_head-kl.py, and the correlation of consecutive features.
_base_ = './centermask-lite_v19_from_v19_coco_head-kl.py'

model = dict(distill=dict(correlation={{_base_.kd_terms.correlation}}))
