# VOC 2012 as in DeepLabV3+-KD: the data, the schedule of 120 epochs, hooks and logs.
_base_ = ['../datasets/voc2012_513x513.py', '../schedules/poly_120e_voc2012.py', '../seg_runtime.py']

default_hooks = dict(checkpoint=dict(interval=2440))
