"""Configs with something misspelt, missing or impossible in them."""

from __future__ import annotations

from .files import config, text
from .row import Row

DET = 'train DET --cfg-options '
KD = 'train KD --cfg-options '

CONFIGS = [
    Row('a config that is not there', 'train nowhere.py', r"config: 'nowhere.py' is not a file \(looked for from"),
    Row(
        'a config of a package that is not there',
        'train nobody::x.py',
        r'config nobody::x.py: .*package name and relative config path',
    ),
    Row('a package that is not there', 'train nobody::a/x.py', r'config nobody::a/x.py: .*nobody'),
    Row(
        'a syntax error', 'train c.py', r"config c.py: '\(' was never closed .*line 1", text('c.py', 'model = dict(\n')
    ),
    Row(
        'a name that is not defined',
        'train c.py',
        r"config c.py: .*'modle' is not defined",
        text('c.py', 'a = modle\n'),
    ),
    Row('a division by zero', 'train c.py', r'config c.py: division by zero', text('c.py', 'lr = 1 / 0\n')),
    Row('a base that is not there', 'train c.py', r'config c.py: .*base.py', text('c.py', "_base_ = 'base.py'\n")),
    Row('an empty config', 'train c.py', r'train_dataloader: missing from the config', text('c.py', '')),
    Row('a config that is no Python', 'train c.txt', r'config c.txt: .*(py|format|type)', text('c.txt', 'x')),
    Row(
        'a test without test_dataloader',
        'test c.py CKPT',
        r'test_dataloader: missing',
        text('c.py', 'model = dict(a=1)'),
    ),
    Row('an option without value', DET + 'model.neck', r'--cfg-options: expected key=value'),
    Row('a misspelt first key', DET + 'modle.neck=1', r"no key 'modle'; did you mean 'model'\?"),
    Row('a type that nobody knows', DET + 'model.neck.type=FNP', r'model.neck.type: FNP is not in the'),
    Row('an argument that nobody knows', DET + 'model.neck.num_out=3', r'model.neck.num_out: .*unexpected'),
    Row('no model', 'train DET --cfg-options model=None', r'model: missing from the config'),
    Row(
        'a misspelt option of the checkpoint hook',
        DET + 'default_hooks.checkpoint.intervall=3',
        r"default_hooks.checkpoint.intervall: CheckpointHook has no such option; did you mean 'interval'\?",
    ),
    Row(
        'a misspelt option of another hook',
        DET + 'default_hooks.logger.intervall=3',
        r"default_hooks.logger.intervall: .*unexpected keyword argument 'intervall'",
    ),
    Row('a hook that nobody knows', DET + 'default_hooks.logger.type=LogHook', r'default_hooks.logger.type: LogHook'),
    Row(
        'an optimizer that nobody knows',
        DET + 'optim_wrapper.optimizer.type=SDG',
        r"optim_wrapper.optimizer.type: 'SDG' is no optimizer; did you mean 'SGD'",
    ),
    Row(
        'an option that the optimizer has not',
        DET + 'optim_wrapper.optimizer.beta=1',
        r'optim_wrapper.optimizer.beta: ',
    ),
    Row('a loop that nobody knows', DET + 'train_cfg.type=Loop', r'train_cfg.type: Loop is not in the'),
    Row('a misspelt option of the loop', DET + 'train_cfg.max_iter=3', r'train_cfg.max_iter: '),
    Row('a sampler that nobody knows', DET + 'train_dataloader.sampler.type=X', r'train_dataloader.sampler.type: X is'),
    Row(
        'a data set that nobody knows',
        DET + 'train_dataloader.dataset.type=Cocoa',
        r'train_dataloader.dataset.type: Co',
    ),
    Row('a misspelt option of the data set', DET + 'train_dataloader.dataset.anfile=x', r'dataset.anfile: '),
    Row(
        'a step that nobody knows',
        'train c.py',
        r'train_dataloader.dataset.*pipeline.*type: Resise is not in the',
        config('detector', "train_dataloader = dict(dataset=dict(pipeline=[dict(type='Resise')]))\n"),
    ),
    Row(
        'a pipeline that does not load the image',
        'train c.py',
        r'train_dataloader.dataset: sample \d, .*png: Resize: .*',
        config('detector', "train_dataloader = dict(dataset=dict(pipeline=[dict(type='Resize', scale=(64, 64))]))\n"),
    ),
    Row(
        'a number of classes that does not fit',
        DET + 'model.bbox_head.num_classes=80',
        r'num_classes=80, but train_data',
    ),
    Row('classes without the comma', DET + 'train_dataloader.dataset.metainfo.classes=cell', r'a tuple was expected'),
    Row(
        'a class that is no category',
        'train DET --cfg-options train_dataloader.dataset.metainfo.classes="(\'cel\',)"',
        r"'cel' is not a category of 'data/train.json', which has 'cell'",
    ),
    Row(
        'channels that do not fit',
        DET + 'model.neck.in_channels=[8,16,99]',
        r'expects 99 channels was given 32; set the in_channels',
    ),
    Row('--auto-scale-lr without a base', 'train DET --auto-scale-lr', r'auto_scale_lr.base_batch_size is missing'),
    # of distillation
    Row(
        'a tap that does not exist',
        KD + 'model.distill.cls.taps=bbox_head.conv_class',
        r"cls: the student has no module 'bbox_head.conv_class'; did you mean 'bbox_head.conv_cls'",
    ),
    Row('a level that is not there', KD + 'model.distill.fpn.levels=(0,7)', r'distill.fpn.*7'),
    Row('a loss that nobody knows', KD + 'model.distill.cls.loss.type=PixelLoss', r'PixelLoss'),
    Row('an option that the loss has not', KD + 'model.distill.cls.loss.temprature=2', r'temprature'),
    Row('a key that a term has not', KD + 'model.distill.cls.weight=2', r'distill.cls: the keys are taps'),
    Row(
        'a connector that nobody knows',
        KD + 'model.distill.cls.connector=conv11',
        r"distill.cls.connector: expected 'conv1x1', 'conv3x3'",
    ),
    Row('a term without taps', KD + 'model.distill.cls.taps=None', r'distill.cls'),
    Row('a tap that never fires', KD + 'model.distill.cls.taps=bbox_head.scales', r'cls.*bbox_head.scales'),
    Row(
        'a tap without channels',
        KD + 'model.distill.cls.taps=bbox_head.loss_cls',
        r'model.distill.cls: pixel-wise loss',
    ),
    Row('a level beyond the last', KD + 'model.distill.cls.levels=(5,)', r'cls.*5'),
    Row('a teacher without config', KD + 'model.teacher.cfg_path=nowhere.py', r'nowhere.py'),
    Row('a teacher of other classes', KD + 'model.teacher.bbox_head.num_classes=3', r'teacher'),
]
