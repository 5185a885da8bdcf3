# VOC 2012 + SBD instance segmentation, 20 classes, with CenterNet's augmentation; tools/dataset/voc_sbd_to_coco.py makes
# the files. The data lie in voc_instance/ below the folder that the environment variable MMKD_DATA names, else data/.
_base_ = ['./coco_instance_center512.py', './voc_classes.py']

data_root = '{{$MMKD_DATA:data}}/voc_instance/'
train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        metainfo=_base_.metainfo,
        ann_file='instances_train.json',
        data_prefix=dict(img='images/train/'),
    )
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        metainfo=_base_.metainfo,
        ann_file='instances_val.json',
        data_prefix=dict(img='images/val/'),
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'instances_val.json')
test_evaluator = val_evaluator
