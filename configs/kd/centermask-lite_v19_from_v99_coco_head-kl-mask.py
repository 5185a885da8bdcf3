# As centermask-lite_v19_from_v19_coco_head-kl-mask.py, with CenterMask V-99 as the teacher.
_base_ = './centermask-lite_v19_from_v19_coco_head-kl-mask.py'

model = dict(
    teacher=dict(
        cfg_path='mmkd::centermask/centermask_v99_fpn_ms-3x_coco.py',
        ckpt='{{$MMKD_TEACHER_CKPT:checkpoints/centermask_v99.pth}}',
    )
)
