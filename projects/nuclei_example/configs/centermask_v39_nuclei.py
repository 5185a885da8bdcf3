# The teacher, and the data and schedule of both: what differs from the COCO config of mmkd.
_base_ = 'mmkd::centermask/centermask_v39_fpn_ms-3x_coco.py'

data_root = '{{$MMKD_DATA:data}}/nuclei/'
max_iters = 6000

model = dict(
    bbox_head=dict(num_classes=1),
    roi_head=dict(mask_head=dict(num_classes=1), mask_iou_head=dict(num_classes=1)),
    test_cfg=dict(bbox=dict(max_per_img=400)),
)

# Masks may be run-length codes, so they are loaded as bitmaps. Nuclei look the same whichever way up.
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='RandomResize', scale=[(1000, 450), (1000, 600)], resize_type='mmdet.Resize', keep_ratio=True),
    dict(type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(1000, 540), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
data = dict(data_root=data_root, metainfo=dict(classes=('nucleus',)))
train_dataloader = dict(
    dataset=dict(ann_file='instances_train.json', data_prefix=dict(img='train/'), pipeline=train_pipeline, **data)
)
val_dataloader = dict(
    dataset=dict(ann_file='instances_val.json', data_prefix=dict(img='val/'), pipeline=test_pipeline, **data)
)
test_dataloader = val_dataloader
# Hundreds of nuclei an image: every detection counts, not the first hundred.
val_evaluator = dict(
    type='mmkd.CrowdedCocoMetric', ann_file=data_root + 'instances_val.json', proposal_nums=(100, 300, 400)
)
test_evaluator = val_evaluator

train_cfg = dict(max_iters=max_iters, val_interval=1000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', begin=0, end=max_iters, by_epoch=False, milestones=[4500, 5500], gamma=0.1),
]
default_hooks = dict(checkpoint=dict(interval=1000))
