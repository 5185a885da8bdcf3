# DeepLabV3+ with ResNet-18, output stride 16: a student of DeepLabV3+-KD. Both convolutions of the last stage's blocks
# are dilated by 2.
_base_ = './deeplabv3plus_r101.py'

model = dict(backbone=dict(depth=18, multi_grid=None), decode_head=dict(in_channels=512, c1_in_channels=64))
