# Every term of CenterMask_KD on COCO, and the mask branch: head-kl with correlation, features and masks. No published
# number.
_base_ = [
    './centermask-v19_centermask-lite-v19_4x_coco_head-kl.py',
    '../../_base_/kd/fsp.py',
    '../../_base_/kd/feature_mse.py',
    '../../_base_/kd/mask_branch.py',
]

model = dict(
    distill=dict(
        correlation={{_base_.fsp.centermask}},
        mse={{_base_.feature_mse.centermask}},
        mask={{_base_.mask_branch.centermask}},
    )
)
