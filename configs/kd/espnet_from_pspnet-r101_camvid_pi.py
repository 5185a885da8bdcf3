# ESPNet taught by PSPNet-R101 on CamVid: pixel-wise, on the class logits. See docs/structured_kd.md.
# Data, schedule and learning rate are the student's.
_base_ = ['../espnet/espnet_40k_camvid-480x360.py', '../_base_/distill.py']

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher=dict(
        cfg_path='mmkd::pspnet/pspnet_r101_40k_camvid-480x360.py',
        ckpt='{{$MMKD_TEACHER_CKPT:checkpoints/pspnet_r101_camvid.pth}}',
    ),
    distill=dict(
        # at the full size, as the student decides; 10: the weight that the paper gives to both losses
        pi=dict(
            taps='decode_head.conv_seg',
            loss=dict(type='mmkd.PixelWiseLoss', loss_weight=10.0, align='student', align_corners=True),
        ),
    ),
)
