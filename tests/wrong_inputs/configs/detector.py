"""The tiny detector on the data set in the folder where the command is given; two iterations, a validation."""

_base_ = '../../tools/tiny_fcos.py'

data_root = 'data/'
metainfo = dict(classes=('cell',))
train_dataloader = dict(
    dataset=dict(
        data_root=data_root, metainfo=metainfo, ann_file='train.json', data_prefix=dict(img='train/'), indices=None
    )
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root, metainfo=metainfo, ann_file='val.json', data_prefix=dict(img='val/'), indices=None
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'val.json')
test_evaluator = val_evaluator
