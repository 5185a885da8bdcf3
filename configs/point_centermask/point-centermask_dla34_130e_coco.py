# CenterMask with point representation, DLA-34.
_base_ = [
    '../_base_/models/point-centermask_dla34.py',
    '../_base_/datasets/coco_instance_center512.py',
    '../_base_/schedules/adam_130e.py',
    '../_base_/det_epoch_runtime.py',
]
