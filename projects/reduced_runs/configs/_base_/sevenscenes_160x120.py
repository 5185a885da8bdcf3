# Frames of one room of 7-Scenes at 160 x 120 and a schedule of minutes on a CPU. Depth is scored at the labels' size.
# In sevenscenes/ below the folder that MMKD_DATA names, else data/, 320 x 240:
#     images/{train,val}/*.jpg, depth/{train,val}/*.png in millimetres, 0 where there is no reading
_base_ = ['mmkd::_base_/datasets/nyu_385x385.py', 'mmkd::_base_/depth_runtime.py', './adamw_1k.py']

data_root = '{{$MMKD_DATA:data}}/sevenscenes/'
crop_size = (112, 144)
intrinsics = (292.5, 292.5, 160.0, 120.0)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadDepthAnnotation', depth_rescale_factor=1e-3),
    dict(type='mmkd.CameraResize', scale=(160, 120)),
    dict(type='mmkd.CameraRandomCrop', crop_size=crop_size),
    dict(type='mmkd.CameraRandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion', brightness_delta=16, contrast_range=(0.8, 1.2), hue_delta=9),
    dict(type='PackSegInputs', meta_keys=_base_.meta_keys),
]
# the labels are loaded after the resizing and keep their size; predictions are brought to it
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmkd.CameraResize', scale=(160, 120)),
    dict(type='LoadDepthAnnotation', depth_rescale_factor=1e-3),
    dict(type='PackSegInputs', meta_keys=_base_.meta_keys),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    pin_memory=False,
    dataset=dict(
        data_root=data_root,
        data_prefix=dict(depth_map_path='depth/train'),
        intrinsics=intrinsics,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        data_root=data_root,
        data_prefix=dict(img_path='images/val', depth_map_path='depth/val'),
        intrinsics=intrinsics,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(crop_type=None)
test_evaluator = val_evaluator

auto_scale_lr = dict(enable=False, base_batch_size=4)
default_hooks = dict(checkpoint=dict(interval=500, max_keep_ckpts=1))
