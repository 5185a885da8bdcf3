# ESPNet on CamVid: pixel-wise, pair-wise and holistic, on its logits reduced to the size of the teacher's. No published
# number.
_base_ = ['./pspnet-r101_espnet_40k_camvid_pi-pa.py', '../../_base_/kd/holistic.py']

model = dict(type='mmkd.AdversarialDistill', holistic={{_base_.holistic.decode_head}})
optim_wrapper = {{_base_.discriminator_optim}}
