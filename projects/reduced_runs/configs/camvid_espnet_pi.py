# ESPNet taught by the published ESPNet of the same size (57 mIoU on these images): pixel-wise, on the class logits.
_base_ = ['./camvid_espnet.py', 'mmkd::_base_/kd/pixel_wise.py']

# checkpoint_Camvid_ESP_SD+KD+CITY_65.1.pth, converted as configs/espnet/README.md says
model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher=dict(
        cfg_path='{{ fileDirname }}/camvid_espnet.py',
        ckpt='{{$MMKD_PRETRAINED:checkpoints}}/ESP_SD+KD+CITY_65.1.pth',
        dtype='float32',
    ),
    distill=dict(pi={{_base_.pixel_wise.espnet}}),
)
