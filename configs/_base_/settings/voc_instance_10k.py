# Instances on VOC 2012: the data, the schedule of 10,000 iterations, hooks and logs.
_base_ = ['../datasets/voc_instance.py', '../schedules/iter_10k.py', '../det_runtime.py']

default_hooks = dict(checkpoint=dict(interval=1000))
