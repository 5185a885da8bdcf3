# FCOS-MobileNetV2-C128 taught by FCOS-ResNeXt-101-32x8d on COCO: pair-wise, on all five levels of the pyramid.
# Published: 0.9 box AP above the student alone (Liu et al. 2020).
_base_ = [
    '../../fcos/fcos_mobilenetv2-c128_1x_coco.py',
    '../../_base_/kd/teachers.py',
    '../../_base_/kd/pair_wise.py',
]

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher={{_base_.teachers.fcos_x101_coco}},
    distill=dict(pa={{_base_.pair_wise.fcos}}),
)
