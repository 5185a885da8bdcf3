# PSPNet-R18 on Cityscapes: pixel-wise and pair-wise. Published: 71.78 mIoU on val (Liu et al. 2019).
_base_ = ['./pspnet-r101_pspnet-r18_40k_cityscapes_pi.py', '../../_base_/kd/pair_wise.py']

model = dict(distill=dict(pa={{_base_.pair_wise.pspnet}}))
