# As ../kd/espnet_from_pspnet-r101_camvid_pi.py, with a teacher that trains in half an hour on one core.
_base_ = ['./espnet_camvid.py', '../_base_/distill.py']

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher=dict(
        cfg_path='mmkd::_quick_/pspnet_mobilenetv2_camvid.py',
        ckpt='{{$MMKD_TEACHER_CKPT:checkpoints/pspnet_mobilenetv2_camvid_quick.pth}}',
    ),
    distill=dict(
        pi=dict(
            taps='decode_head.conv_seg',
            loss=dict(type='mmkd.PixelWiseLoss', loss_weight=10.0, align='student', align_corners=True),
        ),
    ),
)
