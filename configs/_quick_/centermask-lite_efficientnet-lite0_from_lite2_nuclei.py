# The student of the demo, taught the class logits of its teacher and how the places of its pyramid are related.
_base_ = './centermask-lite_efficientnet-lite0_from_lite2_nuclei_kl.py'

fpn = dict(taps='neck', levels=(0, 1, 2), loss=dict(type='mmkd.PairWiseLoss', pool='avg', node_size=2))
model = dict(distill=dict(fpn=fpn))
