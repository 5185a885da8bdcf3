# FCOS-MobileNetV2-C128 taught by FCOS-ResNeXt-101-32x8d: pair-wise, on all five levels of the pyramid.
# See docs/detection_and_depth.md. Data, schedule and learning rate are the student's.
_base_ = ['../fcos/fcos_mobilenetv2-c128_1x_coco.py', '../_base_/distill.py']

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher=dict(
        cfg_path='mmkd::fcos/fcos_x101-32x8d_ms-2x_coco.py',
        ckpt='{{$MMKD_TEACHER_CKPT:checkpoints/fcos_x101_coco.pth}}',
    ),
    distill=dict(
        # every position is a node: 16,800 on the first level, where the Gram form needs matrices of channels only
        pa=dict(taps='neck', loss=dict(type='mmkd.PairWiseLoss', pool=None, loss_weight=10.0)),
    ),
)
