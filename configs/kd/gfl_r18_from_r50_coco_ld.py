# GFL-R18 taught by mmdet's GFL-R50: LD, on the distributions of the box edges at every location, and the class scores.
# The head and the pyramid's output convolutions begin as the teacher's. Data, schedule and learning rate are the student's.
_base_ = ['../gfl/gfl_r18_fpn_1x_coco.py', '../_base_/distill.py']

# the head gives the class scores and the edge distributions of all levels
cls = dict(source='bbox_head', data_idx=0)
edges = dict(source='bbox_head', data_idx=1)

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher=dict(
        cfg_path='mmdet::gfl/gfl_r50_fpn_1x_coco.py',
        ckpt='{{$MMKD_TEACHER_CKPT:checkpoints/gfl_r50_fpn_1x_coco.pth}}',
        mode='loss',  # mmdet calls the head as a whole in this mode only; it stops there, before any loss
    ),
    inherit=['bbox_head', 'neck.fpn_convs'],
    distill=dict(
        ld=dict(
            taps=edges,
            inputs=dict(scores_T=dict(side='teacher', **cls)),  # locations count as the teacher's scores there
            # the weight of the distribution focal loss: the same distributions, taught by the teacher
            loss=dict(type='mmkd.LocalizationDistillationLoss', temperature=10.0, loss_weight=0.25),
        ),
        cls=dict(taps=cls, loss=dict(type='mmkd.PixelWiseLoss', activation='sigmoid')),
    ),
)
