"""A tiny segmentor of two classes on the images and label maps in the folder where the command is given."""

_base_ = ['mmseg::_base_/default_runtime.py']

data_root = 'data/'
metainfo = dict(classes=('out', 'in'), palette=[[0, 0, 0], [255, 255, 255]])
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(type='SegDataPreProcessor', mean=[0.0] * 3, std=[255.0] * 3, size=(32, 32)),
    backbone=dict(type='ResNet', depth=18, base_channels=4, init_cfg=None),
    decode_head=dict(
        type='FCNHead', in_channels=32, in_index=3, channels=8, num_convs=1, concat_input=False, num_classes=2
    ),
    test_cfg=dict(mode='whole'),
)
train_pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
dataset = dict(
    type='BaseSegDataset', data_root=data_root, metainfo=metainfo, img_suffix='.png', pipeline=train_pipeline
)
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(data_prefix=dict(img_path='train', seg_map_path='labels/train'), **dataset),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(data_prefix=dict(img_path='val', seg_map_path='labels/val'), test_mode=True, **dataset),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric')
test_evaluator = val_evaluator

train_cfg = dict(type='IterBasedTrainLoop', max_iters=2, val_interval=100)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.001))
default_hooks = dict(
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=10), logger=dict(type='LoggerHook', interval=1)
)
log_processor = dict(by_epoch=False)
randomness = dict(seed=0)
