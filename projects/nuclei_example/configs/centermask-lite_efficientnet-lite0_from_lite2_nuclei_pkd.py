# The student of the demo once more, on the same schedule and seed, now with its teacher: PKD on the levels of the
# pyramid where nuclei are.
_base_ = './centermask-lite_efficientnet-lite0_nuclei.py'

# 3 on each level, added up: half of mmrazor's, with which it would be most of the gradient to the end
pkd = dict(
    taps='neck', levels=(0, 1, 2), connector='conv1x1', reduce='sum', loss=dict(type='mmkd.PKDLoss', loss_weight=3.0)
)
model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher=dict(
        cfg_path='{{ fileDirname }}/centermask_efficientnet-lite2_nuclei.py',
        ckpt='{{ fileDirname }}/../teacher/centermask_efficientnet-lite2_nuclei.pth',
        dtype='float32',  # the published figures are of such a teacher
        channels_last=True,  # its forward is the smaller part of a step then, on one core
    ),
    distill=dict(pkd=pkd),
)
