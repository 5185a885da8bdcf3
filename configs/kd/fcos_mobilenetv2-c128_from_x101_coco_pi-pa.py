# As fcos_mobilenetv2-c128_from_x101_coco_pa.py, and pixel-wise, on the class logits of all five levels.
_base_ = './fcos_mobilenetv2-c128_from_x101_coco_pa.py'

# a binary decision for each class, as the focal loss trains them
model = dict(
    distill=dict(
        pi=dict(taps='bbox_head.conv_cls', loss=dict(type='mmkd.PixelWiseLoss', activation='sigmoid', loss_weight=1.0)),
    )
)
