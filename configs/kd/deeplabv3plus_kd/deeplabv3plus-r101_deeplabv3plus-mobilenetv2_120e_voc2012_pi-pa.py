# DeepLabV3+-MobileNetV2 taught by DeepLabV3+-R101 on VOC 2012: pixel-wise and pair-wise. Published: 64.71 mIoU on val
# (Mansurian et al.).
_base_ = ['./deeplabv3plus-r101_deeplabv3plus-mobilenetv2_120e_voc2012_pi.py', '../../_base_/kd/pair_wise.py']

model = dict(distill=dict(pa={{_base_.pair_wise.deeplabv3plus}}))
