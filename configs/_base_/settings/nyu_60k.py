# Depth on NYUv2: the data, the schedule of 60,000 iterations, hooks and logs.
_base_ = ['../datasets/nyu_385x385.py', '../schedules/poly_60k_depth.py', '../depth_runtime.py']

sync_bn = 'torch'
