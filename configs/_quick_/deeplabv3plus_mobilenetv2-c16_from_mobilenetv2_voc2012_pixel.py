# As deeplabv3plus_mobilenetv2-c16_from_mobilenetv2_voc2012_pi.py with the pixel-wise loss of structured distillation in its place.
_base_ = './deeplabv3plus_mobilenetv2-c16_from_mobilenetv2_voc2012_pi.py'

pixel = dict(taps='decode_head.conv_seg', loss=dict(type='mmkd.PixelWiseLoss', loss_weight=1.0))
model = dict(distill=dict(_delete_=True, pixel=pixel))
