# An eighth of the labels, and the teacher's last features on the same images.
_base_ = 'camvid_lite0_46.py'

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher=dict(
        cfg_path='projects/reduced_runs/configs/camvid_lite2.py', ckpt='checkpoints/camvid_lite2.pth', dtype='float32'
    ),
    distill=dict(
        pkd=dict(taps='decode_head.fuse', connector='conv1x1', loss=dict(type='mmkd.PKDLoss', loss_weight=3.0)),
    ),
)
