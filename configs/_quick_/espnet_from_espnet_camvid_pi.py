# ESPNet taught by the published ESPNet of the same size (57 mIoU on these images): pixel-wise, on the class logits.
_base_ = ['./espnet_camvid.py', '../_base_/distill.py']

# checkpoint_Camvid_ESP_SD+KD+CITY_65.1.pth, converted as ../espnet/README.md says
model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher=dict(
        cfg_path='mmkd::_quick_/espnet_camvid.py',
        ckpt='{{$MMKD_TEACHER_CKPT:checkpoints/espnet_camvid.pth}}',
    ),
    distill=dict(
        pi=dict(
            taps='decode_head.conv_seg',
            loss=dict(type='mmkd.PixelWiseLoss', loss_weight=10.0, align='student', align_corners=True),
        ),
    ),
)
