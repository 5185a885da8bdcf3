# What every depth config shares: as for segmentation, with the best checkpoint by the relative error.
_base_ = './seg_runtime.py'

default_hooks = dict(checkpoint=dict(save_best='abs_rel', rule='less'))
