# As deeplabv3plus_mobilenetv2-c16_from_mobilenetv2_voc2012_pi.py with MGD in its place, on the encoder's last map.
_base_ = './deeplabv3plus_mobilenetv2-c16_from_mobilenetv2_voc2012_pi.py'

mgd = dict(
    taps='decode_head.bottleneck.bn',
    connector=dict(type='mmkd.MaskedGenerationConnector', mask_ratio=0.75),
    # the released 2e-5 is on a sum: of 64 channels at 9 x 9 places it is 0.1 on the mean
    loss=dict(type='mmkd.MGDLoss', loss_weight=0.1),
)
model = dict(distill=dict(_delete_=True, mgd=mgd))
