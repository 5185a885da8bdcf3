# As voc2012_513x513.py, from folders by split in voc2012/ below the folder that MMKD_DATA names, else data/:
#     images/{train,val}/*.jpg, annotations/{train,val}/*.png
_base_ = ['./voc2012_513x513.py', './voc_classes.py']

data_root = '{{$MMKD_DATA:data}}/voc2012/'
metainfo = dict(
    classes=('background', *_base_.metainfo.classes),
    palette=[
        [0, 0, 0],
        [128, 0, 0],
        [0, 128, 0],
        [128, 128, 0],
        [0, 0, 128],
        [128, 0, 128],
        [0, 128, 128],
        [128, 128, 128],
        [64, 0, 0],
        [192, 0, 0],
        [64, 128, 0],
        [192, 128, 0],
        [64, 0, 128],
        [192, 0, 128],
        [64, 128, 128],
        [192, 128, 128],
        [0, 64, 0],
        [128, 64, 0],
        [0, 192, 0],
        [128, 192, 0],
        [0, 64, 128],
    ],
)
train_dataloader = dict(
    dataset=dict(
        type='BaseSegDataset',
        data_root=data_root,
        ann_file='',
        metainfo=metainfo,
        data_prefix=dict(img_path='images/train', seg_map_path='annotations/train'),
    )
)
val_dataloader = dict(
    dataset=dict(train_dataloader['dataset'], data_prefix=dict(img_path='images/val', seg_map_path='annotations/val'))
)
test_dataloader = val_dataloader
