# The teacher of the demo: VoVNetV2-39 with the narrow heads of the Lite models.
_base_ = ['../_base_/models/centermask-lite_fpn.py', '../_base_/det_runtime.py', './nuclei.py']

num_classes = 1
# No ImageNet weights: in contrast to the COCO configs batch norm has to learn, and there is a norm wherever it helps.
head_norm = dict(type='GN', num_groups=32, requires_grad=True)
model = dict(
    data_preprocessor=dict(std=[58.0, 57.0, 57.0]),
    backbone=dict(arch='V-39-eSE', norm_cfg=dict(type='BN', requires_grad=True), norm_eval=False),
    neck=dict(norm_cfg=head_norm),
    bbox_head=dict(num_classes=num_classes),
    roi_head=dict(
        mask_head=dict(num_classes=num_classes, norm_cfg=head_norm),
        mask_iou_head=dict(num_classes=num_classes, fc_out_channels=256),
    ),
    # Up to 12 masks an image are learned from at a step, which is what two CPU cores can do.
    train_cfg=dict(rcnn=dict(sampler=dict(num=12, pos_fraction=1.0))),
    test_cfg=dict(bbox=dict(max_per_img=100)),
)
default_hooks = dict(checkpoint=dict(interval=50, max_keep_ckpts=1), logger=dict(interval=10))
