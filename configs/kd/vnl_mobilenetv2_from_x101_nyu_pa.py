# VNL-MobileNetV2 taught by VNL-ResNeXt-101 on NYUv2: pair-wise, on the last map of the pyramid.
# See docs/detection_and_depth.md. Data, schedule and learning rate are the student's.
_base_ = ['../vnl/vnl_mobilenetv2_60k_nyu-385x385.py', '../_base_/distill.py']

# nodes of 2 x 2 positions and the weight 10: the best row of the paper, for segmentation
model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher=dict(
        cfg_path='mmkd::vnl/vnl_x101_60k_nyu-385x385.py',
        ckpt='{{$MMKD_TEACHER_CKPT:checkpoints/vnl_x101_nyu.pth}}',
    ),
    distill=dict(
        pa=dict(
            taps='decode_head.refines.0',
            loss=dict(type='mmkd.PairWiseLoss', pool='avg', node_size=2, loss_weight=10.0),
        ),
    ),
)
