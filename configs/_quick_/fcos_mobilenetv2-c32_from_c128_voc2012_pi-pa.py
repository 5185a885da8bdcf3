# As fcos_mobilenetv2-c32_from_c128_voc2012_pa.py, and pixel-wise, on the class logits.
_base_ = './fcos_mobilenetv2-c32_from_c128_voc2012_pa.py'

model = dict(
    distill=dict(
        pi=dict(taps='bbox_head.conv_cls', loss=dict(type='mmkd.PixelWiseLoss', activation='sigmoid', loss_weight=1.0)),
    )
)
