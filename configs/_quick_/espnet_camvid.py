# ESPNet on CamVid in minutes, without a teacher.
_base_ = ['../_base_/models/espnet.py', './camvid.py']

model = dict(data_preprocessor=dict(size={{_base_.crop_size}}))
