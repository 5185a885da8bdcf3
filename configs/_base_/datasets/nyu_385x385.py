# NYUv2 depth as mmseg prepares it: images and 16-bit depth maps in millimetres, 640 x 480. 24,231 for training, 654 for
# testing. In nyu/ below the folder that MMKD_DATA names, else data/:
#     images/{train,test}/*.jpg, annotations/{train,test}/*.png
_base_ = './segmentation.py'

data_root = '{{$MMKD_DATA:data}}/nyu/'
crop_size = (385, 385)
intrinsics = (518.8579, 519.4696, 325.5824, 253.7362)  # of the colour camera, from the data set's toolbox
max_depth = 10.0
meta_keys = (
    'img_path',
    'depth_map_path',
    'ori_shape',
    'img_shape',
    'pad_shape',
    'scale_factor',
    'flip',
    'flip_direction',
    'intrinsics',
)

# The scale is left as it is: at a larger one the camera would have to be nearer.
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadDepthAnnotation', depth_rescale_factor=1e-3),
    dict(type='mmkd.CameraRandomCrop', crop_size=crop_size),
    dict(type='mmkd.CameraRandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion', brightness_delta=16, contrast_range=(0.8, 1.2), hue_delta=9),
    dict(type='PackSegInputs', meta_keys=meta_keys),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadDepthAnnotation', depth_rescale_factor=1e-3),
    dict(type='PackSegInputs', meta_keys=meta_keys),
]
train_dataloader = dict(
    dataset=dict(
        type='mmkd.DepthFolder',
        data_root=data_root,
        data_prefix=dict(img_path='images/train', depth_map_path='annotations/train'),
        intrinsics=intrinsics,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    dataset=dict(
        train_dataloader['dataset'],
        data_prefix=dict(img_path='images/test', depth_map_path='annotations/test'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

# abs_rel, rmse, log10 and the shares d1, d2, d3 of pixels within 1.25, 1.25^2 and 1.25^3, each a mean over images
val_evaluator = dict(
    _delete_=True, type='DepthMetric', min_depth_eval=0.001, max_depth_eval=max_depth, crop_type='nyu_crop'
)
test_evaluator = val_evaluator
