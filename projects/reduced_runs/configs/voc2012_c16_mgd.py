# As voc2012_c16_pixel.py with MGD in its place, on the encoder's last map.
_base_ = ['./voc2012_c16_pixel.py', 'mmkd::_base_/kd/mgd.py']

# the released 2e-5 is on a sum: of 64 channels at 9 x 9 places it is 0.1 on the mean
encoder = dict(taps='decode_head.bottleneck.bn', loss=dict(type='mmkd.MGDLoss', loss_weight=0.1))
model = dict(distill=dict(_delete_=True, mgd=dict(_base_.mgd.pspnet, **encoder)))
