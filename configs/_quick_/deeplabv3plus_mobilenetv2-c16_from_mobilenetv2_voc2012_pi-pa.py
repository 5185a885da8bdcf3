# As deeplabv3plus_mobilenetv2-c16_from_mobilenetv2_voc2012_pi.py, and pair-wise, on the encoder's last map before its ReLU.
_base_ = './deeplabv3plus_mobilenetv2-c16_from_mobilenetv2_voc2012_pi.py'

# 6 is the 1 of the full recipe, whose cross-entropy has the weight 1/6
model = dict(
    distill=dict(pa=dict(taps='decode_head.bottleneck.bn', loss=dict(type='mmkd.PairWiseLoss', loss_weight=6.0)))
)
