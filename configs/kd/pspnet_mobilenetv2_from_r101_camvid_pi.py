# PSPNet-MobileNetV2 taught by PSPNet-R101 on CamVid: pixel-wise, on the class logits. See docs/structured_kd.md.
# Data, schedule and learning rate are the student's.
_base_ = ['../pspnet/pspnet_mobilenetv2_40k_camvid-480x360.py', '../_base_/distill.py']

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher=dict(
        cfg_path='mmkd::pspnet/pspnet_r101_40k_camvid-480x360.py',
        ckpt='{{$MMKD_TEACHER_CKPT:checkpoints/pspnet_r101_camvid.pth}}',
    ),
    distill=dict(
        # 80: the released code has 10 on a loss that it does not divide by its 8 images
        pi=dict(taps='decode_head.conv_seg', loss=dict(type='mmkd.PixelWiseLoss', loss_weight=80.0)),
    ),
)
