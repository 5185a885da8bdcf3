# As deeplabv3plus_mobilenetv2-c16_from_mobilenetv2_voc2012_pixel.py, of standardised logits.
_base_ = './deeplabv3plus_mobilenetv2-c16_from_mobilenetv2_voc2012_pi.py'

# temperature and weight of the paper (Sun et al. 2024), which are for classification
loss = dict(type='mmkd.LogitStandardized', loss=dict(type='mmkd.PixelWiseLoss'), temperature=2.0, loss_weight=9.0)
model = dict(distill=dict(_delete_=True, pixel=dict(taps='decode_head.conv_seg', loss=loss)))
