# PSPNet-R18 on Cityscapes: pixel-wise, pair-wise and holistic. Published: 74.08 mIoU on val (Liu et al. 2019).
_base_ = ['./pspnet-r101_pspnet-r18_40k_cityscapes_pi-pa.py', '../../_base_/kd/holistic.py']

model = dict(type='mmkd.AdversarialDistill', holistic={{_base_.holistic.decode_head}})
optim_wrapper = {{_base_.discriminator_optim}}
