# CenterMask with point representation, Hourglass-104.
_base_ = [
    '../_base_/models/point-centermask_hourglass104.py',
    '../_base_/datasets/coco_instance_center512.py',
    '../_base_/schedules/adam_130e.py',
    '../_base_/det_epoch_runtime.py',
]
