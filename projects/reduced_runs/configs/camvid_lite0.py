# The student on CamVid, all labels: EfficientNet-Lite0 up to stride 16, its first layers and all its batch norms as
# ImageNet left them.
_base_ = ['_base_/efficientnet_pyramid.py', '_base_/camvid_256x192.py']

model = dict(
    data_preprocessor=dict(size={{_base_.crop_size}}),
    backbone=dict(out_indices=(1, 2, 3), frozen_stages=1, norm_eval=True),
    decode_head=dict(in_channels=[24, 40, 112], in_index=[0, 1, 2], channels=48),
)
