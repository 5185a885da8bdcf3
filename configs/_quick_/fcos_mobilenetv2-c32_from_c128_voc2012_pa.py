# fcos_mobilenetv2-c32_voc2012.py once more, on the same schedule and seed, with a teacher: pair-wise, on the pyramid.
_base_ = ['./fcos_mobilenetv2-c32_voc2012.py', '../_base_/distill.py']

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher=dict(
        cfg_path='{{ fileDirname }}/fcos_mobilenetv2-c128_voc2012.py',
        ckpt='{{$MMKD_TEACHER_CKPT:work_dirs/fcos_mobilenetv2-c128_voc2012/iter_2000.pth}}',
    ),
    distill=dict(
        pa=dict(taps='neck', loss=dict(type='mmkd.PairWiseLoss', pool=None, loss_weight=10.0)),
    ),
)
