# ESPNet-C on CamVid, without a teacher.
_base_ = [
    '../_base_/models/espnet-c.py',
    '../_base_/datasets/camvid.py',
    '../_base_/schedules/poly_40k.py',
    '../_base_/seg_runtime.py',
]

model = dict(data_preprocessor=dict(size={{_base_.crop_size}}))
