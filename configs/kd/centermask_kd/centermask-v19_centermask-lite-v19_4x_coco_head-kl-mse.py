# CenterMask_KD's kd_MSE_KL on COCO: head-kl, and the features themselves. No published number.
_base_ = ['./centermask-v19_centermask-lite-v19_4x_coco_head-kl.py', '../../_base_/kd/feature_mse.py']

model = dict(distill=dict(mse={{_base_.feature_mse.centermask}}))
