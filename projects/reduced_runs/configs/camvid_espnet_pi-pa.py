# As camvid_espnet_pi.py, and pair-wise, on the encoders' features.
_base_ = ['./camvid_espnet_pi.py', 'mmkd::_base_/kd/pair_wise.py']

model = dict(distill=dict(pa=dict(_base_.pair_wise.espnet, taps='backbone.b3')))
