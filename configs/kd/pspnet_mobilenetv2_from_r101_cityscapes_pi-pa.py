# As pspnet_mobilenetv2_from_r101_cityscapes_pi.py, and pair-wise, on the features after the pyramid.
_base_ = './pspnet_mobilenetv2_from_r101_cityscapes_pi.py'

# 3 x 3 nodes, as the released code has of 65 x 65, and the weight of its run script
model = dict(
    distill=dict(pa=dict(taps='decode_head.dropout', loss=dict(type='mmkd.PairWiseLoss', nodes=3, loss_weight=0.5)))
)
