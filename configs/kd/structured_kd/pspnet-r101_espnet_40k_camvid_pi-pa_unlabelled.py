# ESPNet on CamVid: pixel-wise and pair-wise, with as many images without labels in each batch as with them. Published, with
# frames of Cityscapes: 65.1 mIoU on test (Liu et al. 2020); here the split val serves as these, its labels unread.
_base_ = './pspnet-r101_espnet_40k_camvid_pi-pa.py'

unlabelled_pipeline = [step for step in _base_.train_pipeline if step['type'] != 'LoadAnnotations']
train_dataloader = dict(
    batch_size=16,
    sampler=dict(_delete_=True, type='mmkd.FixedRatioSampler', batch_size=16, source_ratio=[1, 1], infinite=True),
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
