# ESPNet taught by the published ESPNet of the same size (57 mIoU on these images): pixel-wise, on the class logits.
_base_ = './espnet_from_pspnet-mobilenetv2_camvid_pi.py'

# checkpoint_Camvid_ESP_SD+KD+CITY_65.1.pth, converted as ../espnet/README.md says
model = dict(
    teacher=dict(
        _delete_=True,
        cfg_path='mmkd::_quick_/espnet_camvid.py',
        ckpt='{{$MMKD_TEACHER_CKPT:checkpoints/espnet_camvid.pth}}',
    )
)
