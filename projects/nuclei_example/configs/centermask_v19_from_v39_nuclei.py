# CenterMask-Lite V-19 of mmkd with the teacher beside, on the teacher's data and schedule.
_base_ = './centermask_v39_nuclei.py'

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student=dict(
        cfg_path='mmkd::centermask/centermask-lite_v19_fpn_ms-4x_coco.py',
        bbox_head=dict(num_classes=1),
        roi_head=dict(mask_head=dict(num_classes=1), mask_iou_head=dict(num_classes=1)),
        test_cfg=dict(bbox=dict(max_per_img=400)),
    ),
    teacher=dict(
        cfg_path='{{ fileDirname }}/centermask_v39_nuclei.py',
        ckpt='work_dirs/centermask_v39_nuclei/iter_6000.pth',
        dtype='float32',
    ),
    distill=dict(
        cls=dict(
            taps='bbox_head.conv_cls', loss=dict(type='mmkd.PixelWiseLoss', activation='sigmoid', loss_weight=1.0)
        ),
        fpn=dict(taps='neck', loss=dict(type='mmkd.PairWiseLoss', loss_weight=1.0)),
    ),
)
