# As deeplabv3plus_mobilenetv2-c16_from_mobilenetv2_voc2012_pi-pa.py, pair-wise only.
_base_ = './deeplabv3plus_mobilenetv2-c16_from_mobilenetv2_voc2012_pi-pa.py'

model = dict(distill=dict(_delete_=True, pa={{_base_.model.distill.pa}}))
