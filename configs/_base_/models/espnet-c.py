# ESPNet-C: the encoder of ESPNet and a 1x1 classifier; logits at 1/8 of the size.
_base_ = './espnet.py'

model = dict(decode_head=dict(type='mmkd.ESPNetCHead'))
