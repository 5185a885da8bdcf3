# The student with its teacher's last features.
_base_ = 'camvid_lite0_kl.py'

model = dict(
    distill=dict(
        _delete_=True,
        pkd=dict(taps='decode_head.fuse', connector='conv1x1', loss=dict(type='mmkd.PKDLoss', loss_weight=3.0)),
    ),
)
