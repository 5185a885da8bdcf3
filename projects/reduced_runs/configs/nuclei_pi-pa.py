# As nuclei_kl.py, and pair-wise, on the levels of the pyramid where nuclei are.
_base_ = './nuclei_kl.py'

fpn = dict(taps='neck', levels=(0, 1, 2), loss=dict(type='mmkd.PairWiseLoss', pool='avg', node_size=2, loss_weight=1.0))
model = dict(distill=dict(fpn=fpn))
