# As pspnet_r18_from_r101_camvid_pi.py, and pair-wise, on the features after the pyramid.
_base_ = './pspnet_r18_from_r101_camvid_pi.py'

# nodes of half the map and the weight 0.5: as in the released code and its run script
model = dict(distill=dict(pa=dict(taps='decode_head.dropout', loss=dict(type='mmkd.PairWiseLoss', loss_weight=0.5))))
