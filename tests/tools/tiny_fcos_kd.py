"""The tiny detector, taught by another one of its kind."""

_base_ = './tiny_fcos.py'

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    # float32, so that runs are equal whatever the device multiplies in
    teacher=dict(cfg_path='{{ fileDirname }}/tiny_fcos.py', ckpt='{{$TEACHER_FILE:teacher.pth}}', dtype='float32'),
    distill=dict(
        cls=dict(taps='bbox_head.conv_cls', loss=dict(type='PixelWiseLoss', activation='sigmoid')),
        fpn=dict(taps='neck', levels=(0, 1, 2), loss=dict(type='PairWiseLoss')),
    ),
    dry_run=dict(size=(64, 64)),
)
