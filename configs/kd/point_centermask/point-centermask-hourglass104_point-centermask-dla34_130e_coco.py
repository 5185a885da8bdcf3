# CenterMask with points, DLA-34 (published: 32.5 mask AP on COCO test-dev) taught by Hourglass-104 (34.5): heatmap,
# shape and saliency at every cell, and how alike any two places of the features are. Nobody has published the taught
# student.
_base_ = [
    '../../point_centermask/point-centermask_dla34_130e_coco.py',
    '../../_base_/kd/teachers.py',
    '../../_base_/kd/pixel_wise.py',
    '../../_base_/kd/pair_wise.py',
]

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher={{_base_.teachers.point_centermask_hourglass104_coco}},
    distill=dict(
        heatmap={{_base_.pixel_wise.heatmap}},
        shape={{_base_.pixel_wise.shape}},
        saliency={{_base_.pixel_wise.saliency}},
        feature={{_base_.pair_wise.point_centermask}},
    ),
)
