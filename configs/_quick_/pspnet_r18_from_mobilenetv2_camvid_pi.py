# As ../kd/pspnet_r18_from_r101_camvid_pi.py, with a small teacher and the paper's weight.
_base_ = ['./pspnet_r18_camvid.py', '../_base_/distill.py']

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher=dict(
        cfg_path='mmkd::_quick_/pspnet_mobilenetv2_camvid.py',
        ckpt='{{$MMKD_TEACHER_CKPT:checkpoints/pspnet_mobilenetv2_camvid_quick.pth}}',
    ),
    distill=dict(
        pi=dict(taps='decode_head.conv_seg', loss=dict(type='mmkd.PixelWiseLoss', loss_weight=10.0)),
    ),
)
