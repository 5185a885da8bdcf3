# CenterMask with point representation, Hourglass-104.
_base_ = ['../_base_/models/point-centermask_hourglass104.py', '../_base_/settings/coco_center512_130e.py']
