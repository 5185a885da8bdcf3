# Every term of CenterMask_KD on VOC 2012, and the mask branch; a row of it is this one less some terms (README.md). No
# published number.
_base_ = [
    '../../centermask/centermask-lite_v19_fpn_10k_voc.py',
    '../../_base_/kd/teachers.py',
    '../../_base_/kd/pixel_wise.py',
    '../../_base_/kd/bounded_boxes.py',
    '../../_base_/kd/fsp.py',
    '../../_base_/kd/feature_mse.py',
    '../../_base_/kd/mask_branch.py',
]

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher={{_base_.teachers.centermask_v19_voc}},
    distill=dict(
        cls={{_base_.pixel_wise.centermask_kd}},
        bounded={{_base_.bounded_boxes.fcos}},
        correlation={{_base_.fsp.centermask}},
        mse={{_base_.feature_mse.centermask}},
        mask={{_base_.mask_branch.centermask}},
    ),
)
