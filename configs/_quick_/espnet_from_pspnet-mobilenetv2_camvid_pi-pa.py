# As espnet_from_pspnet-mobilenetv2_camvid_pi.py, and pair-wise, on the encoder's and on the pyramid's features.
_base_ = './espnet_from_pspnet-mobilenetv2_camvid_pi.py'

model = dict(
    distill=dict(
        pa=dict(
            taps=dict(student='backbone.b3', teacher='decode_head.dropout'),
            loss=dict(type='mmkd.PairWiseLoss', pool='avg', node_size=2, loss_weight=10.0),
        ),
    )
)
