# DeepLabV3+-R18 taught by DeepLabV3+-R101 on VOC 2012: overhaul of feature distillation, on six maps before their ReLUs.
# See docs/deeplabv3plus_kd.md. Data, schedule and learning rate are the student's.
_base_ = ['../deeplabv3plus_kd/deeplabv3plus_r18_120e_voc2012-513x513.py', '../_base_/distill.py']

model = dict(
    _delete_=True,
    type='mmkd.DenseDistill',
    student={{_base_.model}},
    teacher=dict(
        cfg_path='mmkd::deeplabv3plus_kd/deeplabv3plus_r101_120e_voc2012-513x513.py',
        ckpt='{{$MMKD_TEACHER_CKPT:checkpoints/deeplabv3plus_r101_voc2012.pth}}',
    ),
    # What goes into the last ReLU of a stage, which is the second call of it in the student's last block, the third in the
    # teacher's; margins come from the norm in front of it.
    distill={
        f'stage{stage}': dict(
            taps=dict(
                student=dict(type='ModuleInputs', source=f'backbone.layer{stage}.1.relu', record_idx=1, data_idx=0),
                teacher=dict(
                    type='ModuleInputs', source=f'backbone.layer{stage}.{last}.relu', record_idx=2, data_idx=0
                ),
            ),
            inputs=dict(
                norm_weight=dict(side='teacher', type='Parameter', source=f'backbone.layer{stage}.{last}.bn3.weight'),
                norm_bias=dict(side='teacher', type='Parameter', source=f'backbone.layer{stage}.{last}.bn3.bias'),
            ),
            connector=dict(
                type='mmkd.ConvConnector', norm_cfg=dict(type='BN'), init_cfg=dict(type='Kaiming', layer='Conv2d')
            ),
            loss=dict(type='mmkd.OverhaulLoss', reduction='batchmean', loss_weight=1e-5 / divider),
        )
        for stage, last, divider in ((1, 2, 8), (2, 3, 4), (3, 22, 2), (4, 2, 1))
    }
    | {
        name: dict(
            taps=f'decode_head.{layer}.bn',
            inputs=dict(
                norm_weight=dict(side='teacher', type='Parameter', source=f'decode_head.{layer}.bn.weight'),
                norm_bias=dict(side='teacher', type='Parameter', source=f'decode_head.{layer}.bn.bias'),
            ),
            connector=dict(
                type='mmkd.ConvConnector', norm_cfg=dict(type='BN'), init_cfg=dict(type='Kaiming', layer='Conv2d')
            ),
            loss=dict(type='mmkd.OverhaulLoss', reduction='batchmean', loss_weight=1e-5 / divider),
        )
        for name, layer, divider in (('encoder', 'bottleneck', 1), ('decoder', 'conv2', 16))
    },
)
