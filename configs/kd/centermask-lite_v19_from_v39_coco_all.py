# As centermask-lite_v19_from_v19_coco_all.py, with CenterMask V-39 as the teacher.
_base_ = './centermask-lite_v19_from_v19_coco_all.py'

model = dict(
    teacher=dict(
        cfg_path='mmkd::centermask/centermask_v39_fpn_ms-3x_coco.py',
        ckpt='{{$MMKD_TEACHER_CKPT:checkpoints/centermask_v39.pth}}',
    )
)
