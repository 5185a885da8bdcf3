# As voc2012_c16_pixel.py with DIST in its place.
_base_ = ['./voc2012_c16_pixel.py', 'mmkd::_base_/kd/dist.py']

model = dict(distill=dict(_delete_=True, dist={{_base_.dist.decode_head}}))
