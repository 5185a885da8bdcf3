# CenterMask-Lite V-19 taught by CenterMask V-19 on VOC 2012: class logits by KL, boxes bounded by the teacher.
_base_ = ['../centermask_voc/centermask-lite_v19_fpn_10k_voc.py', '../_base_/centermask_kd.py']

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher=dict(
        cfg_path='mmkd::centermask_voc/centermask_v19_fpn_10k_voc.py',
        ckpt='{{$MMKD_TEACHER_CKPT:checkpoints/centermask_v19_voc.pth}}',
    ),
    distill=dict(cls={{_base_.kd_terms.kl}}, bounded={{_base_.kd_terms.bounded}}),
)
