# As centermask_v19_from_v99.py, with CenterMask V-57 as the teacher.
_base_ = './centermask_v19_from_v99.py'

model = dict(
    teacher=dict(
        cfg_path='mmkd::centermask/centermask_v57_fpn_ms-3x_coco.py',
        ckpt='{{$MMKD_TEACHER_CKPT:checkpoints/centermask_v57.pth}}',
    )
)
