# Overhaul of feature distillation (Heo et al. 2019), as DeepLabV3+-KD has it: six maps before their ReLUs, the four stages
# and the ends of encoder and decoder, each with a connector and with the margin that the teacher's norm in front tells.
# A config takes all six: distill={{_base_.overhaul.r18}}.

# Of the teacher, R-101: what goes into the last ReLU of a stage, the third call of it in the last block. The sum over a
# map is divided by the batch and weighs 1e-5 over the divider of the map.
overhaul_stages = [
    ('stage1', dict(type='ModuleInputs', source='backbone.layer1.2.relu', record_idx=2, data_idx=0), 'layer1.2.bn3', 8),
    ('stage2', dict(type='ModuleInputs', source='backbone.layer2.3.relu', record_idx=2, data_idx=0), 'layer2.3.bn3', 4),
    (
        'stage3',
        dict(type='ModuleInputs', source='backbone.layer3.22.relu', record_idx=2, data_idx=0),
        'layer3.22.bn3',
        2,
    ),
    ('stage4', dict(type='ModuleInputs', source='backbone.layer4.2.relu', record_idx=2, data_idx=0), 'layer4.2.bn3', 1),
]
overhaul = {
    student: {
        name: dict(
            taps=dict(student=tap, teacher=teacher_tap),
            inputs=dict(
                norm_weight=dict(side='teacher', type='Parameter', source=f'{norm}.weight'),
                norm_bias=dict(side='teacher', type='Parameter', source=f'{norm}.bias'),
            ),
            connector=dict(
                type='mmkd.ConvConnector', norm_cfg=dict(type='BN'), init_cfg=dict(type='Kaiming', layer='Conv2d')
            ),
            loss=dict(type='mmkd.OverhaulLoss', reduction='batchmean', loss_weight=1e-5 / divider),
        )
        for name, tap, teacher_tap, norm, divider in (
            *((name, tap, of_teacher, f'backbone.{norm}', divider) for (name, of_teacher, norm, divider), tap in taps),
            ('encoder', 'decode_head.bottleneck.bn', 'decode_head.bottleneck.bn', 'decode_head.bottleneck.bn', 1),
            ('decoder', 'decode_head.conv2.bn', 'decode_head.conv2.bn', 'decode_head.conv2.bn', 16),
        )
    }
    for student, taps in dict(
        # the second call of the ReLU in the last block
        r18=[
            (stage, dict(type='ModuleInputs', source=f'backbone.layer{i}.1.relu', record_idx=1, data_idx=0))
            for i, stage in enumerate(overhaul_stages, 1)
        ],
        # its layers end without a ReLU: what the next one expands them to, before its ReLU
        mobilenetv2=[
            (stage, source)
            for stage, source in zip(
                overhaul_stages,
                [*(f'backbone.layer{i}.0.conv.0.bn' for i in (3, 4, 6)), 'backbone.layer7'],
                strict=True,
            )
        ],
    ).items()
}
