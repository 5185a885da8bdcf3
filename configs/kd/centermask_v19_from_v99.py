# CenterMask-Lite V-19 (published: 32.8 mask / 35.9 box AP on COCO val2017) taught by CenterMask V-99 (41.4 / 46.0):
# class logits and pyramid features, each on all five levels. Nobody has published the taught student. Other teachers:
# README.md.
_base_ = [
    '../centermask/centermask-lite_v19_fpn_ms-4x_coco.py',
    '../_base_/kd/pixel_wise.py',
    '../_base_/kd/pair_wise.py',
]

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher=dict(
        cfg_path='mmkd::centermask/centermask_v99_fpn_ms-3x_coco.py',
        ckpt='{{$MMKD_PRETRAINED:checkpoints}}/centermask_v99.pth',
    ),
    distill=dict(cls={{_base_.pixel_wise.dense_head}}, fpn={{_base_.pair_wise.centermask}}),
)
