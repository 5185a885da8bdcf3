# As espnet_from_espnet_camvid_pi.py, and pair-wise, on the encoders' features.
_base_ = './espnet_from_espnet_camvid_pi.py'

model = dict(
    distill=dict(
        pa=dict(taps='backbone.b3', loss=dict(type='mmkd.PairWiseLoss', pool='avg', node_size=2, loss_weight=10.0)),
    )
)
