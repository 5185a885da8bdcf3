# The student with its teacher's word on each pixel.
_base_ = 'camvid_lite0.py'

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher=dict(
        cfg_path='projects/reduced_runs/configs/camvid_lite2.py', ckpt='checkpoints/camvid_lite2.pth', dtype='float32'
    ),
    distill=dict(
        logits=dict(taps='decode_head.conv_seg', loss=dict(type='mmkd.PixelWiseLoss', loss_weight=2.0)),
    ),
)
