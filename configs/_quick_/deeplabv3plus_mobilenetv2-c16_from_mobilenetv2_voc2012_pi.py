# As ../kd/deeplabv3plus_mobilenetv2_from_r101_voc2012_pi.py, reduced and with a small teacher.
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
        # 600 is the 100 of the full recipe, whose cross-entropy has the weight 1/6
        pi=dict(
            taps='decode_head.conv2.bn',
            loss=dict(type='mmkd.AttentionTransferLoss', normalize='column', loss_weight=600.0),
        ),
    ),
)
