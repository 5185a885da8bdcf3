# Cityscapes, trained on crops of 512 x 512 at 0.7 to 2.1 of the size, as for structured knowledge distillation; tested
# on whole images. The data lie in cityscapes/ below the folder that MMKD_DATA names, else data/.
_base_ = './segmentation.py'

dataset_type = 'CityscapesDataset'
data_root = '{{$MMKD_DATA:data}}/cityscapes/'
crop_size = (512, 512)
train_scales = [(int(204.8 * tenths), int(102.4 * tenths)) for tenths in range(7, 22)]  # in steps of 0.1

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
        data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    num_workers=4,
    dataset=dict(
        train_dataloader['dataset'],
        data_prefix=dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val'),
        test_mode=True,
        pipeline={{_base_.test_pipeline}},
    ),
)
test_dataloader = val_dataloader
