# The student of the demo, taught the class logits of its teacher.
_base_ = '../../nuclei_example/configs/centermask-lite_efficientnet-lite0_from_lite2_nuclei_pkd.py'

# A softmax over one class is always 1 and teaches nothing.
cls = dict(taps='bbox_head.conv_cls', loss=dict(type='mmkd.PixelWiseLoss', activation='sigmoid', loss_weight=10.0))
model = dict(distill=dict(_delete_=True, cls=cls))
