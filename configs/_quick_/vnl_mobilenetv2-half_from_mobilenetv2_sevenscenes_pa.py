# vnl_mobilenetv2-half_sevenscenes.py once more, on the same schedule and seed, with a teacher: pair-wise.
_base_ = ['./vnl_mobilenetv2-half_sevenscenes.py', '../_base_/distill.py']

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher=dict(
        cfg_path='{{ fileDirname }}/vnl_mobilenetv2_sevenscenes.py',
        ckpt='{{$MMKD_TEACHER_CKPT:work_dirs/vnl_mobilenetv2_sevenscenes/iter_1000.pth}}',
    ),
    distill=dict(
        pa=dict(
            taps='decode_head.refines.0',
            loss=dict(type='mmkd.PairWiseLoss', pool='avg', node_size=2, loss_weight=10.0),
        ),
    ),
)
