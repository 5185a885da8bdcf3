# VOC 2012 in COCO's format: instances_{train,val}.json beside images/{train,val}, 20 classes. For data sets to build
# on. In voc_instance/ below the folder that the environment variable MMKD_DATA names, else data/.
_base_ = './voc_classes.py'

voc_root = '{{$MMKD_DATA:data}}/voc_instance/'
voc_train = dict(
    data_root=voc_root,
    metainfo=_base_.metainfo,
    ann_file='instances_train.json',
    data_prefix=dict(img='images/train/'),
)
voc_val = dict(voc_train, ann_file='instances_val.json', data_prefix=dict(img='images/val/'))
