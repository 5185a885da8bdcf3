# FCOS, MobileNetV2, 128 channels: the student of structured knowledge distillation (Liu et al., TPAMI 2020).
_base_ = [
    '../_base_/models/fcos_mobilenetv2-c128.py',
    '../_base_/datasets/coco_detection_800.py',
    '../_base_/schedules/iter_1x_fcos.py',
    '../_base_/det_runtime.py',
]

# ImageNet weights, see README.md. The environment variable MMKD_PRETRAINED names another folder.
model = dict(
    backbone=dict(
        init_cfg=dict(type='Pretrained', checkpoint='{{$MMKD_PRETRAINED:checkpoints}}/mobilenet_v2_mmdet.pth')
    )
)
sync_bn = 'torch'
