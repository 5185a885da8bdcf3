# CamVid as in structured knowledge distillation: the data, the schedule of 40,000 iterations, hooks and logs.
_base_ = ['../datasets/camvid.py', '../schedules/poly_40k.py', '../seg_runtime.py']
