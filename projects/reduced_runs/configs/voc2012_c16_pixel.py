# The student on VOC 2012, taught by a head four times as wide: the pixel-wise loss of structured distillation.
_base_ = ['./voc2012_c16.py']

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher=dict(
        cfg_path='{{ fileDirname }}/voc2012_c64.py', ckpt='work_dirs/voc2012_c64/iter_600.pth', dtype='float32'
    ),
    distill=dict(pixel=dict(taps='decode_head.conv_seg', loss=dict(type='mmkd.PixelWiseLoss', loss_weight=1.0))),
)
