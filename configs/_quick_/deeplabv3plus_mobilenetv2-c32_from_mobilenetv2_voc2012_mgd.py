# As deeplabv3plus_mobilenetv2-c32_from_mobilenetv2_voc2012_pi.py with MGD in its place, on the encoder's last map.
_base_ = './deeplabv3plus_mobilenetv2-c32_from_mobilenetv2_voc2012_pi.py'

mgd = dict(
    taps='decode_head.bottleneck.bn',
    connector=dict(type='mmkd.MaskedGenerationConnector', mask_ratio=0.75),
    # the released 2e-5 is on a sum: of 128 channels at 13 x 13 places it is 0.43 on the mean
    loss=dict(type='mmkd.MGDLoss', loss_weight=0.43),
)
model = dict(distill=dict(_delete_=True, mgd=mgd))
