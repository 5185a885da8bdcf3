# PASCAL VOC 2012 segmentation: trained on the 1,464 images of train, tested on whole images of val. Crops of 513 x 513
# at half to twice the size, as in DeepLabV3+-KD. The folder with JPEGImages, SegmentationClass and ImageSets lies in
# VOCdevkit/VOC2012 below the folder that MMKD_DATA names, else data/. For folders by split, see voc2012_folders.py.
_base_ = './segmentation.py'

dataset_type = 'PascalVOCDataset'
data_root = '{{$MMKD_DATA:data}}/VOCdevkit/VOC2012/'
crop_size = (513, 513)
img_path = 'JPEGImages'
seg_map_path = 'SegmentationClass'

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    # the shorter side becomes 513 times the ratio
    dict(type='RandomResize', scale=(4104, 513), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size),
    # black beside small images, ignored there; the authors' labels are 0 there, so that their networks learn to call it
    # background: seg=0
    dict(type='Pad', size=crop_size, pad_val=dict(img=0, seg=255)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmkd.RandomGaussianBlur', prob=0.5, max_sigma=1.0),
    dict(type='PackSegInputs'),
]
# The labels are loaded after the resizing and keep their size; predictions are brought to it. The authors resize them
# too: put LoadAnnotations first to score as they do.
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(4104, 513), keep_ratio=True),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]

train_dataloader = dict(
    batch_size=6,
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path=img_path, seg_map_path=seg_map_path),
        ann_file='ImageSets/Segmentation/train.txt',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    dataset=dict(
        train_dataloader['dataset'],
        ann_file='ImageSets/Segmentation/val.txt',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
