# The student of the demo once more, on the same schedule and seed, now with its teacher.
_base_ = ['./centermask-lite_efficientnet-lite0_nuclei.py', '../_base_/distill.py']

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher=dict(
        cfg_path='{{ fileDirname }}/centermask_efficientnet-lite2_nuclei.py',
        ckpt='{{$MMKD_TEACHER_CKPT:{{ fileDirname }}/nuclei_teacher/centermask_efficientnet-lite2_nuclei.pth}}',
        channels_last=True,  # its forward is the smaller part of a step then, on one core
    ),
    distill=dict(
        cls=dict(
            taps='bbox_head.conv_cls', loss=dict(type='mmkd.PixelWiseLoss', activation='sigmoid', loss_weight=10.0)
        ),
        fpn=dict(taps='neck', levels=(0, 1, 2), loss=dict(type='mmkd.PairWiseLoss', pool='avg', node_size=2)),
    ),
)
