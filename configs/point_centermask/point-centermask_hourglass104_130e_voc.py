# CenterMask with point representation, Hourglass-104, on the 20 classes of VOC 2012 and SBD.
_base_ = ['../_base_/models/point-centermask_hourglass104.py', '../_base_/settings/voc_center512_130e.py']

model = dict(bbox_head=dict(num_classes=20))
