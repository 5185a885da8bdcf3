# CenterMask-Lite V-19 (published alone: 32.8 mask / 35.9 box AP on COCO val2017) taught by CenterMask V-39 (39.7 /
# 44.2): FGD (Yang et al. 2022), which reads the boxes, on all five levels of the pyramid. Nobody has published the
# taught student.
_base_ = [
    '../../centermask/centermask-lite_v19_fpn_ms-4x_coco.py',
    '../../_base_/kd/teachers.py',
    '../../_base_/kd/fgd.py',
]

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher={{_base_.teachers.centermask_v39_coco}},
    distill=dict(fgd={{_base_.fgd.pyramid}}),
)
