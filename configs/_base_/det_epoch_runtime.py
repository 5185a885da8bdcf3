# As det_runtime.py, for runs that count epochs.
_base_ = './det_runtime.py'

default_hooks = dict(checkpoint=dict(by_epoch=True, interval=10, max_keep_ckpts=3))
log_processor = dict(by_epoch=True)
