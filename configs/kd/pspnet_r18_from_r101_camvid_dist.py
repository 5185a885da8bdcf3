# As pspnet_r18_from_r101_camvid_pi.py with DIST in its place: the order of the classes at a pixel and of pixels in a class.
_base_ = './pspnet_r18_from_r101_camvid_pi.py'

model = dict(
    distill=dict(
        _delete_=True, dist=dict(taps='decode_head.conv_seg', loss=dict(type='mmkd.DISTLoss', loss_weight=1.0))
    )
)
