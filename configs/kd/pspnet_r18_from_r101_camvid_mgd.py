# As pspnet_r18_from_r101_camvid_pi.py with MGD in its place, on the features after the pyramid: of three quarters of the
# student's places masked, the teacher's whole feature is generated.
_base_ = './pspnet_r18_from_r101_camvid_pi.py'

mgd = dict(
    taps='decode_head.bottleneck',
    connector=dict(type='mmkd.MaskedGenerationConnector', mask_ratio=0.75),
    # the released 2e-5 is on a sum: of 512 channels at 45 x 60 places it is 28 on the mean
    loss=dict(type='mmkd.MGDLoss', loss_weight=28.0),
)
model = dict(distill=dict(_delete_=True, mgd=mgd))
