# As pspnet_r18_from_r101_camvid_pi.py, of standardised logits: the student need not have the range of the teacher's.
_base_ = './pspnet_r18_from_r101_camvid_pi.py'

# temperature and weight of the paper (Sun et al. 2024), which are for classification
loss = dict(type='mmkd.LogitStandardized', loss=dict(type='mmkd.PixelWiseLoss'), temperature=2.0, loss_weight=9.0)
model = dict(distill=dict(_delete_=True, pi=dict(taps='decode_head.conv_seg', loss=loss)))
