# ESPNet on CamVid in minutes, without a teacher.
_base_ = ['mmkd::_base_/models/espnet.py', './_base_/camvid_256x192_espnet.py']

model = dict(data_preprocessor=dict(size={{_base_.crop_size}}))
