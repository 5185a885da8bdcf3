# CenterMask, VoVNetV2-19, on VOC 2012.
_base_ = ['../_base_/models/centermask_fpn.py', '../_base_/settings/voc_instance_10k.py']

num_classes = 20
# ImageNet weights of the original, see README.md. The environment variable MMKD_PRETRAINED names another folder.
model = dict(
    backbone=dict(
        arch='V-19-eSE',
        init_cfg=dict(type='Pretrained', checkpoint='{{$MMKD_PRETRAINED:checkpoints}}/vovnet19_ese_detectron2.pth'),
    ),
    bbox_head=dict(num_classes=num_classes),
    roi_head=dict(mask_head=dict(num_classes=num_classes), mask_iou_head=dict(num_classes=num_classes)),
)
