# The student of the demo: VoVNetV2-19-slim, half as many channels in pyramid and heads as its teacher.
_base_ = './centermask_v39_nuclei.py'

channels = 64
model = dict(
    backbone=dict(arch='V-19-slim-eSE'),
    neck=dict(in_channels=[112, 256, 384], out_channels=channels),
    bbox_head=dict(in_channels=channels, feat_channels=channels),
    roi_head=dict(
        mask_roi_extractor=dict(out_channels=channels),
        mask_head=dict(in_channels=channels, conv_out_channels=channels),
        mask_iou_head=dict(in_channels=channels, conv_out_channels=channels),
    ),
)
