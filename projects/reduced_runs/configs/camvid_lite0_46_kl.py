# An eighth of the labels, and the teacher's word on all images: half of each batch has labels.
_base_ = 'camvid_lite0_kl.py'

labelled = dict(
    type={{_base_.dataset_type}},
    data_root={{_base_.data_root}},
    data_prefix=dict(img_path='images/train', seg_map_path='annotations/train'),
    img_suffix={{_base_.img_suffix}},
    pipeline={{_base_.train_pipeline}},
    indices=list(range(0, 367, 8)),
)
unlabelled = dict(
    type={{_base_.dataset_type}},
    data_root={{_base_.data_root}},
    data_prefix=dict(img_path='images/train'),
    img_suffix={{_base_.img_suffix}},
    pipeline=[
        dict(type='LoadImageFromFile'),
        _base_.train_pipeline[2],  # the same scales
        dict(type='RandomCrop', crop_size=_base_.crop_size),  # without labels no crop is refused for having one class
        dict(type='RandomFlip', prob=0.5),
        dict(type='PhotoMetricDistortion'),
        dict(type='PackSegInputs'),
    ],
)
train_dataloader = dict(
    sampler=dict(
        _delete_=True,
        type='mmdet.MultiSourceSampler',
        batch_size={{_base_.train_dataloader.batch_size}},
        source_ratio=[1, 1],
    ),
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[labelled, dict(type='mmkd.UnlabelledDataset', dataset=unlabelled)],
    ),
)
