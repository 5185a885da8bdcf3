# The first CenterMask (maskrcnn-benchmark), to use or fine-tune its detectors; see tools/convert.py --from centermask.
_base_ = './centermask_v39_fpn_ms-3x_coco.py'

model = dict(
    data_preprocessor=dict(mean=[102.9801, 115.9465, 122.7717]),
    bbox_head=dict(
        bbox_reg='exp_pixel',
        sqrt_score=False,
        bbox_coder=dict(type='DistancePointBBoxCoder', clip_border=True),
    ),
    roi_head=dict(mask_roi_extractor=dict(roi_layer=dict(sampling_ratio=2, aligned=False))),
    test_cfg=dict(bbox=dict(score_thr=0.03)),
)
