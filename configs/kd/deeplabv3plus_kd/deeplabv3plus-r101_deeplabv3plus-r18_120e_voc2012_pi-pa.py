# DeepLabV3+-R18 taught by DeepLabV3+-R101 on VOC 2012: pixel-wise and pair-wise. Published: 69.21 mIoU on val
# (Mansurian et al.).
_base_ = ['./deeplabv3plus-r101_deeplabv3plus-r18_120e_voc2012_pi.py', '../../_base_/kd/pair_wise.py']

model = dict(distill=dict(pa={{_base_.pair_wise.deeplabv3plus}}))
