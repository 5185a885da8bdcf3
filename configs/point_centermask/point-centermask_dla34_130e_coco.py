# CenterMask with point representation, DLA-34.
_base_ = ['../_base_/models/point-centermask_dla34.py', '../_base_/settings/coco_center512_130e.py']
