# As sevenscenes_half_pa.py, and holistic: a discriminator tells the student's depth bins from the teacher's.
_base_ = ['./sevenscenes_half_pa.py', 'mmkd::_base_/kd/holistic.py']

model = dict(type='mmkd.AdversarialDistill', holistic={{_base_.holistic.decode_head}})
optim_wrapper = {{_base_.discriminator_optim}}
