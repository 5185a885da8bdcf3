# As camvid_espnet_pi-pa.py, and holistic, on the scores at 1/8 of the size: a discriminator of the full-size logits
# would cost more than the student.
_base_ = ['./camvid_espnet_pi-pa.py', 'mmkd::_base_/kd/holistic.py']

scores = dict(
    taps='decode_head.classifier_1',
    discriminator=dict(_base_.holistic.decode_head.discriminator, in_channels=11),
)
model = dict(type='mmkd.AdversarialDistill', holistic=dict(_base_.holistic.decode_head, **scores))
optim_wrapper = {{_base_.discriminator_optim}}
