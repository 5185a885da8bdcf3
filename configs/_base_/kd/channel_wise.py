# Channel-wise: where in the map each class is (Shu et al. 2021).
channel_wise = dict(
    # temperature and weight of the paper for logits
    decode_head=dict(
        taps='decode_head.conv_seg', loss=dict(type='mmkd.ChannelWiseDivergence', temperature=4.0, loss_weight=3.0)
    ),
)
