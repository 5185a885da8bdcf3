# CenterMask-Lite V-19 taught by CenterMask V-19: class logits by KL, boxes bounded by the teacher.
_base_ = ['../centermask/centermask-lite_v19_fpn_ms-4x_coco.py', '../_base_/centermask_kd.py']

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher=dict(
        cfg_path='mmkd::centermask/centermask_v19_fpn_ms-3x_coco.py',
        ckpt='{{$MMKD_TEACHER_CKPT:checkpoints/centermask_v19.pth}}',
    ),
    distill=dict(cls={{_base_.kd_terms.kl}}, bounded={{_base_.kd_terms.bounded}}),
)
