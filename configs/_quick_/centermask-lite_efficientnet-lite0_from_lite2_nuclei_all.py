# As centermask-lite_efficientnet-lite0_from_lite2_nuclei_head.py, with everything: correlation, features and masks.
_base_ = './centermask-lite_efficientnet-lite0_from_lite2_nuclei_head.py'

model = dict(
    distill=dict(
        correlation={{_base_.kd_terms.correlation}},
        mse={{_base_.kd_terms.mse}},
        mask={{_base_.kd_terms.mask}},
    )
)
