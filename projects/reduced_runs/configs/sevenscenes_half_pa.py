# sevenscenes_half.py once more, on the same schedule and seed, with a teacher: pair-wise.
_base_ = ['./sevenscenes_half.py', 'mmkd::_base_/kd/pair_wise.py']

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher=dict(
        cfg_path='{{ fileDirname }}/sevenscenes_whole.py',
        ckpt='work_dirs/sevenscenes_whole/iter_1000.pth',
        dtype='float32',
    ),
    distill=dict(pa={{_base_.pair_wise.vnl}}),
)
