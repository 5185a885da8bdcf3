# CenterMask with point representation, DLA-34, on the 20 classes of VOC 2012 and SBD.
_base_ = [
    '../_base_/models/point-centermask_dla34.py',
    '../_base_/datasets/voc_instance_center512.py',
    '../_base_/schedules/adam_130e.py',
    '../_base_/det_epoch_runtime.py',
]

model = dict(bbox_head=dict(num_classes=20))
