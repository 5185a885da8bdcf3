# As deeplabv3plus_mobilenetv2-c16_from_mobilenetv2_voc2012_pixel.py; pixels near a border between classes count five times.
_base_ = './deeplabv3plus_mobilenetv2-c16_from_mobilenetv2_voc2012_pixel.py'

model = dict(distill=dict(pixel=dict(loss=dict(boundary_weight=5.0, boundary_width=1, boundary_of='label'))))
