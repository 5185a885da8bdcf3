# The student of the demo, taught the class logits of its teacher.
_base_ = ['./centermask-lite_efficientnet-lite0_nuclei.py', '../_base_/centermask_kd_nuclei.py']

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher=dict(
        cfg_path='{{ fileDirname }}/centermask_efficientnet-lite2_nuclei.py',
        ckpt='{{$MMKD_TEACHER_CKPT:{{ fileDirname }}/nuclei_teacher/centermask_efficientnet-lite2_nuclei.pth}}',
        channels_last=True,  # its forward is the smaller part of a step then, on one core
    ),
    distill=dict(cls={{_base_.kd_terms.kl}}),
)
