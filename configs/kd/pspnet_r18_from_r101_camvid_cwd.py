# As pspnet_r18_from_r101_camvid_pi.py with channel-wise distillation in its place: where in the map each class is.
_base_ = './pspnet_r18_from_r101_camvid_pi.py'

# temperature and weight of the paper (Shu et al. 2021) for logits
cwd = dict(taps='decode_head.conv_seg', loss=dict(type='mmkd.ChannelWiseDivergence', temperature=4.0, loss_weight=3.0))
model = dict(distill=dict(_delete_=True, cwd=cwd))
