# ESPNet-C on CamVid: pixel-wise and pair-wise. Published: 60.3 mIoU on test (Liu et al. 2019).
_base_ = ['./pspnet-r101_espnet-c_40k_camvid_pi.py', '../../_base_/kd/pair_wise.py']

model = dict(distill=dict(pa={{_base_.pair_wise.espnet}}))
