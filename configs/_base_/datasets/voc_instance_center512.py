# VOC 2012 + SBD instance segmentation, 20 classes, with CenterNet's augmentation; `mmkd voc_sbd_to_coco` makes the
# files. The data lie in voc_instance/ below the folder that the environment variable MMKD_DATA names, else data/.
_base_ = ['./coco_instance_center512.py', './voc_instance_annotations.py']

data_root = _base_.voc_root
train_dataloader = dict(dataset=_base_.voc_train)
val_dataloader = dict(dataset=_base_.voc_val)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'instances_val.json')
test_evaluator = val_evaluator
