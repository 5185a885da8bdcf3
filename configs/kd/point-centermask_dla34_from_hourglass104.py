# DLA-34 taught by Hourglass-104, both CenterMask with point representation: heatmap, shape and saliency at every cell, and
# how alike any two places of the features are. Schedule, data and learning rate are the student's.
_base_ = ['../point_centermask/point-centermask_dla34_130e_coco.py', '../_base_/distill.py']

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher=dict(
        cfg_path='mmkd::point_centermask/point-centermask_hourglass104_130e_coco.py',
        ckpt='{{$MMKD_TEACHER_CKPT:checkpoints/point-centermask_hourglass104.pth}}',
    ),
    distill=dict(
        heatmap=dict(
            taps='bbox_head.heatmap_head', loss=dict(type='mmkd.PixelWiseLoss', activation='sigmoid', loss_weight=1.0)
        ),
        # 1024 binary decisions at each cell: their mean
        shape=dict(
            taps='bbox_head.shape_head',
            loss=dict(type='mmkd.PixelWiseLoss', activation='sigmoid', reduction='class_mean', loss_weight=1.0),
        ),
        saliency=dict(
            taps='bbox_head.saliency_head', loss=dict(type='mmkd.PixelWiseLoss', activation='sigmoid', loss_weight=1.0)
        ),
        # The map the student's head works on, and that of the teacher's last stack.
        feature=dict(
            taps=dict(student='neck', teacher='backbone'),
            levels=dict(student=(0,), teacher=(1,)),
            loss=dict(type='mmkd.PairWiseLoss', pool='avg', node_size=4, loss_weight=1.0),
        ),
    ),
)
