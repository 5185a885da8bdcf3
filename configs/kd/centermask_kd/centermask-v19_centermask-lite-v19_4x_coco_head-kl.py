# CenterMask_KD's kd_head_KL on COCO: class logits by KL, boxes bounded by the teacher. Published: the student alone,
# 32.8 mask / 35.9 box AP on val2017; the taught one nowhere.
_base_ = [
    '../../centermask/centermask-lite_v19_fpn_ms-4x_coco.py',
    '../../_base_/kd/teachers.py',
    '../../_base_/kd/pixel_wise.py',
    '../../_base_/kd/bounded_boxes.py',
]

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher={{_base_.teachers.centermask_v19_coco}},
    distill=dict(cls={{_base_.pixel_wise.centermask_kd}}, bounded={{_base_.bounded_boxes.fcos}}),
)
