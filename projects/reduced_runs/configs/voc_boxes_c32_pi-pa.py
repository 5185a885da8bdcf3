# voc_boxes_c32.py once more, on the same schedule and seed, with a teacher: pair-wise on the pyramid, pixel-wise on the
# logits.
_base_ = ['./voc_boxes_c32.py', 'mmkd::_base_/kd/pixel_wise.py', 'mmkd::_base_/kd/pair_wise.py']

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher=dict(
        cfg_path='{{ fileDirname }}/voc_boxes_c128.py', ckpt='work_dirs/voc_boxes_c128/iter_2000.pth', dtype='float32'
    ),
    distill=dict(pa={{_base_.pair_wise.fcos}}, pi={{_base_.pixel_wise.dense_head}}),
)
