"""Hyper-parameters that no run can be made with."""

from __future__ import annotations

from .files import config
from .row import Row

DET = 'train DET --cfg-options '
KD = 'train KD --cfg-options '
# the image pooling of ASPP: one value for each channel and image
BATCH_NORM = """
model = dict(decode_head=dict(_delete_=True, type='ASPPHead', dilations=(1,), in_channels=32, in_index=3, channels=8,
    num_classes=2, norm_cfg=dict(type='BN')))
train_dataloader = dict(batch_size=1)
"""
NUMBERS = (
    [
        Row(
            'batch_size=0',
            DET + 'train_dataloader.batch_size=0',
            r'train_dataloader.batch_size=0: a whole number, 1 or',
        ),
        Row(
            'a negative batch size',
            DET + 'val_dataloader.batch_size=-1',
            r'val_dataloader.batch_size=-1: a whole number',
        ),
        Row(
            'a batch size of two and a half',
            DET + 'train_dataloader.batch_size=2.5',
            r'train_dataloader.batch_size=2.5: ',
        ),
        Row(
            'batch_size=0 in a test',
            'test DET CKPT --cfg-options test_dataloader.batch_size=0',
            r'test_dataloader.batch_si',
        ),
        Row(
            'negative num_workers',
            DET + 'train_dataloader.num_workers=-1',
            r'train_dataloader.num_workers=-1: a whole num',
        ),
        Row('max_iters=0', DET + 'train_cfg.max_iters=0', r'train_cfg.max_iters=0: a whole number, 1 or above'),
        Row(
            'negative max_iters', DET + 'train_cfg.max_iters=-5', r'train_cfg.max_iters=-5: a whole number, 1 or above'
        ),
        Row(
            'max_iters that is a text', DET + 'train_cfg.max_iters=many', r"train_cfg.max_iters='many': a whole number"
        ),
        Row(
            'val_interval=0', DET + 'train_cfg.val_interval=0', r'train_cfg.val_interval=0: a whole number, 1 or above'
        ),
        Row(
            'a negative lr',
            DET + 'optim_wrapper.optimizer.lr=-0.1',
            r'optim_wrapper.optimizer.lr=-0.1: a finite number, 0',
        ),
        Row(
            'an lr that is a text',
            DET + 'optim_wrapper.optimizer.lr=small',
            r"optimizer.lr='small': a str was given, a num",
        ),
        Row(
            'negative weight decay',
            DET + 'optim_wrapper.optimizer.weight_decay=-1',
            r'weight_decay=-1: a finite number',
        ),
        Row(
            'negative momentum',
            DET + 'optim_wrapper.optimizer.momentum=-1',
            r'optim_wrapper.optimizer.momentum=-1: a fin',
        ),
        Row(
            'accumulative_counts=0',
            DET + 'optim_wrapper.accumulative_counts=0',
            r'accumulative_counts=0: a whole number',
        ),
        Row(
            'a negative loss weight',
            DET + 'model.bbox_head.loss_cls.loss_weight=-1',
            r'loss_cls.loss_weight=-1: a finite',
        ),
        Row(
            'a loss weight that is a text',
            DET + 'model.bbox_head.loss_cls.loss_weight=one',
            r"loss_weight='one': a str",
        ),
        Row(
            'batch norm with a batch of one',
            'train c.py',
            r'train_dataloader.batch_size: batch norm',
            config('segmentor', BATCH_NORM),
        ),
    ]
    + [
        Row(f'a distillation loss weight of {value}', f'{KD}model.distill.cls.loss.loss_weight={value}', expected)
        for value, expected in (
            ('-1', r'loss_weight.*-1'),
            ('many', r"loss_weight.*'many'"),
            ("float('nan')", r'loss_weight'),
            ('[1,2]', r'loss_weight'),
        )
    ]
    + [
        Row(f'a temperature of {value}', f'{KD}model.distill.cls.loss.temperature={value}', r'temperature.*' + value)
        for value in ('0', '-1', 'hot')
    ]
)
