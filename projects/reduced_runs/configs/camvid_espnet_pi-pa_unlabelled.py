# As camvid_espnet_pi-pa.py, with as many images without labels in each batch as with them. The split
# 'val' serves as these: its labels are not read in training. See docs/detection_and_depth.md.
_base_ = './camvid_espnet_pi-pa.py'

unlabelled_pipeline = [step for step in _base_.train_pipeline if step['type'] != 'LoadAnnotations']
train_dataloader = dict(
    batch_size=8,
    sampler=dict(_delete_=True, type='mmkd.FixedRatioSampler', batch_size=8, source_ratio=[1, 1], infinite=True),
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            {{_base_.train_dataloader.dataset}},
            dict(
                type='mmkd.UnlabelledDataset',
                dataset=dict(
                    type={{_base_.dataset_type}},
                    data_root={{_base_.data_root}},
                    data_prefix=dict(img_path='images/val'),
                    img_suffix={{_base_.img_suffix}},
                    pipeline=unlabelled_pipeline,
                ),
            ),
        ],
    ),
)
