# COCO as for CenterMask with points: the data, the schedule of 130 epochs, hooks and logs.
_base_ = ['../datasets/coco_instance_center512.py', '../schedules/adam_130e.py', '../det_epoch_runtime.py']
