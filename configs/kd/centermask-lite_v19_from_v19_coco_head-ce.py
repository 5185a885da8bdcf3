# As centermask-lite_v19_from_v19_coco_head-kl.py, with cross-entropy in place of KL: another number in the log, the same gradient.
_base_ = './centermask-lite_v19_from_v19_coco_head-kl.py'

model = dict(distill=dict(cls={{_base_.kd_terms.ce}}))
