# mmdet's Mask R-CNN with three parts of CenterMask: VoVNetV2-39, the spatial-attention mask head, and mask features
# from the level that suits the share of the image an object takes. No published numbers.
_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    '../_base_/datasets/coco_instance_800.py',
    '../_base_/schedules/iter_3x.py',
    '../_base_/det_runtime.py',
]

model = dict(
    data_preprocessor=dict(mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0], bgr_to_rgb=False),
    backbone=dict(
        _delete_=True,
        type='mmkd.VoVNet',
        arch='V-39-eSE',
        out_indices=(0, 1, 2, 3),
        norm_cfg=dict(type='BN', requires_grad=False),
        norm_eval=True,
        init_cfg=dict(type='Pretrained', checkpoint='{{$MMKD_PRETRAINED:checkpoints}}/vovnet39_ese_detectron2.pth'),
    ),
    neck=dict(in_channels=[256, 512, 768, 1024]),
    roi_head=dict(
        mask_roi_extractor=dict(
            _delete_=True,
            type='mmkd.AdaptiveRoIExtractor',
            assign='ratio',
            out_channels=256,
            roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0),
            featmap_strides=[4, 8, 16, 32],
        ),
        mask_head=dict(type='mmkd.SpatialAttentionMaskHead'),
    ),
)
