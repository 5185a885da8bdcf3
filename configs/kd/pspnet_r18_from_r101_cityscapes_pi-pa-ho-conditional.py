# As pspnet_r18_from_r101_cityscapes_pi-pa-ho.py with the critic of the paper: it sees the image and class probabilities.
_base_ = './pspnet_r18_from_r101_cityscapes_pi-pa-ho.py'

model = dict(holistic=dict(discriminator=dict(preprocess='softmax', conditional=True)))
