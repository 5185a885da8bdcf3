# What CenterMask_KD leaves out: head-kl, and masks and mask IoUs on the RoIs of the student. No published number.
_base_ = ['./centermask-v19_centermask-lite-v19_4x_coco_head-kl.py', '../../_base_/kd/mask_branch.py']

model = dict(distill=dict(mask={{_base_.mask_branch.centermask}}))
