# GFL-R18 taught by mmdet's GFL-R50 (published: 40.2 box AP on COCO val2017): LD (Zheng et al. 2022) on the
# distributions of the box edges, and the class scores. The head and the pyramid's output convolutions begin as the
# teacher's. Published for mmdet's own LD of R-18, from R-101: 36.5.
_base_ = ['../../gfl/gfl_r18_fpn_1x_coco.py', '../../_base_/kd/localization.py', '../../_base_/kd/pixel_wise.py']

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher=dict(
        cfg_path='mmdet::gfl/gfl_r50_fpn_1x_coco.py',
        ckpt='{{$MMKD_PRETRAINED:checkpoints}}/gfl_r50_fpn_1x_coco.pth',
        mode='loss',  # mmdet calls the head as a whole in this mode only; it stops there, before any loss
    ),
    inherit=['bbox_head', 'neck.fpn_convs'],
    distill=dict(ld={{_base_.localization.gfl}}, cls={{_base_.pixel_wise.gfl}}),
)
