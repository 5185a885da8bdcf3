# As voc2012_c16_pixel.py with channel-wise distillation in its place.
_base_ = ['./voc2012_c16_pixel.py', 'mmkd::_base_/kd/channel_wise.py']

model = dict(distill=dict(_delete_=True, cwd={{_base_.channel_wise.decode_head}}))
