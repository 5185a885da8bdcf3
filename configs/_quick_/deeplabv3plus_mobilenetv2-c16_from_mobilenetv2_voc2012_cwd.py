# As deeplabv3plus_mobilenetv2-c16_from_mobilenetv2_voc2012_pi.py with channel-wise distillation in its place.
_base_ = './deeplabv3plus_mobilenetv2-c16_from_mobilenetv2_voc2012_pi.py'

# temperature and weight of the paper (Shu et al. 2021) for logits
cwd = dict(taps='decode_head.conv_seg', loss=dict(type='mmkd.ChannelWiseDivergence', temperature=4.0, loss_weight=3.0))
model = dict(distill=dict(_delete_=True, cwd=cwd))
