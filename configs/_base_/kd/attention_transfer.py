# Attention transfer: where the network is active, the mean over channels of the squares.
attention_transfer = dict(
    # PI of DeepLabV3+-KD, on the decoder's last map before its ReLU. Each column of the map of activity gets length 1,
    # as in the authors' code, which the weight is for.
    deeplabv3plus=dict(
        taps='decode_head.conv2.bn',
        loss=dict(type='mmkd.AttentionTransferLoss', normalize='column', loss_weight=100.0),
    ),
)
