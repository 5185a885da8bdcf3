# As ../kd/deeplabv3plus_mobilenetv2_from_r101_voc2012_pa.py, reduced and with a small teacher.
_base_ = ['./deeplabv3plus_mobilenetv2-c16_voc2012.py', '../_base_/distill.py']

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher=dict(
        cfg_path='{{ fileDirname }}/deeplabv3plus_mobilenetv2_voc2012.py',
        ckpt='{{$MMKD_TEACHER_CKPT:work_dirs/deeplabv3plus_mobilenetv2_voc2012/iter_600.pth}}',
    ),
    distill=dict(
        # 6 is the 1 of the full recipe, whose cross-entropy has the weight 1/6
        pa=dict(taps='decode_head.bottleneck.bn', loss=dict(type='mmkd.PairWiseLoss', loss_weight=6.0)),
    ),
)
