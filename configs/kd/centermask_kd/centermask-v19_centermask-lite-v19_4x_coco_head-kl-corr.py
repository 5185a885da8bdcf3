# CenterMask_KD's kd_corr_KL on COCO: head-kl, and the correlation of consecutive features. No published number.
_base_ = ['./centermask-v19_centermask-lite-v19_4x_coco_head-kl.py', '../../_base_/kd/fsp.py']

model = dict(distill=dict(correlation={{_base_.fsp.centermask}}))
