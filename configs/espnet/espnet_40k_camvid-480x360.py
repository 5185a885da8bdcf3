# ESPNet on CamVid, without a teacher.
_base_ = ['../_base_/models/espnet.py', '../_base_/settings/camvid_40k.py']

model = dict(data_preprocessor=dict(size={{_base_.crop_size}}))
