# As deeplabv3plus_mobilenetv2-c16_from_mobilenetv2_voc2012_pi.py with DIST in its place.
_base_ = './deeplabv3plus_mobilenetv2-c16_from_mobilenetv2_voc2012_pi.py'

dist = dict(taps='decode_head.conv_seg', loss=dict(type='mmkd.DISTLoss', loss_weight=1.0))
model = dict(distill=dict(_delete_=True, dist=dist))
