"""The tiny detector, whose backbone starts from a file."""

_base_ = './detector.py'

model = dict(backbone=dict(init_cfg=dict(_delete_=True, type='Pretrained', checkpoint='x.pth', prefix='backbone.')))
