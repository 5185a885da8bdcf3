# As centermask-lite_v19_from_v19_voc_head-kl.py, with CenterMask V-39 as the teacher.
_base_ = './centermask-lite_v19_from_v19_voc_head-kl.py'

model = dict(
    teacher=dict(
        cfg_path='mmkd::centermask_voc/centermask_v39_fpn_10k_voc.py',
        ckpt='{{$MMKD_TEACHER_CKPT:checkpoints/centermask_v39_voc.pth}}',
    )
)
