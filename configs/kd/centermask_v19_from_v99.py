# CenterMask-Lite V-19 taught by CenterMask V-99: class logits on all five levels, pyramid on the three of the masks.
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
        fpn=dict(taps='neck', levels=(0, 1, 2), loss=dict(type='mmkd.PairWiseLoss')),
    ),
)
