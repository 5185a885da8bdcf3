# As centermask-lite_v19_from_v19_voc_head-kl.py, with everything: correlation, features and masks.
_base_ = './centermask-lite_v19_from_v19_voc_head-kl.py'

model = dict(
    distill=dict(
        correlation={{_base_.kd_terms.correlation}},
        mse={{_base_.kd_terms.mse}},
        mask={{_base_.kd_terms.mask}},
    )
)
