# CenterMask-Lite V-19 taught by CenterMask V-99: class logits and pyramid features, each on all five levels.
# Schedule, data and learning rate are the student's.
_base_ = ['../centermask/centermask-lite_v19_fpn_ms-4x_coco.py', '../_base_/distill.py']

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher=dict(
        cfg_path='mmkd::centermask/centermask_v99_fpn_ms-3x_coco.py',
        ckpt='{{$MMKD_TEACHER_CKPT:checkpoints/centermask_v99.pth}}',
    ),
    distill=dict(
        cls=dict(taps='bbox_head.conv_cls', loss=dict(type='mmkd.PixelWiseLoss', activation='sigmoid')),
        fpn=dict(taps='neck', loss=dict(type='mmkd.PairWiseLoss')),
    ),
)
