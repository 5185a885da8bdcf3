# As pspnet_r18_from_mobilenetv2_camvid_pi.py, and pair-wise, on the pyramid's features.
_base_ = './pspnet_r18_from_mobilenetv2_camvid_pi.py'

model = dict(
    distill=dict(
        pa=dict(
            taps='decode_head.dropout',
            loss=dict(type='mmkd.PairWiseLoss', pool='avg', node_size=2, loss_weight=10.0),
        ),
    )
)
