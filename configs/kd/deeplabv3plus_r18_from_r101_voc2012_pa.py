# DeepLabV3+-R18 taught by DeepLabV3+-R101 on VOC 2012: pair-wise, on the encoder's last map before its ReLU.
# See docs/deeplabv3plus_kd.md. Data, schedule and learning rate are the student's.
_base_ = ['../deeplabv3plus_kd/deeplabv3plus_r18_120e_voc2012-513x513.py', '../_base_/distill.py']

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher=dict(
        cfg_path='mmkd::deeplabv3plus_kd/deeplabv3plus_r101_120e_voc2012-513x513.py',
        ckpt='{{$MMKD_TEACHER_CKPT:checkpoints/deeplabv3plus_r101_voc2012.pth}}',
    ),
    distill=dict(
        pa=dict(taps='decode_head.bottleneck.bn', loss=dict(type='mmkd.PairWiseLoss', loss_weight=1.0)),
    ),
)
