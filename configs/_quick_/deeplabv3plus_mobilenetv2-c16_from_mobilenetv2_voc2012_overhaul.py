# As ../kd/deeplabv3plus_mobilenetv2_from_r101_voc2012_overhaul.py, reduced and with a small teacher, of which the two maps
# of the head are taught: MobileNetV2's layers end without a ReLU and hence without a margin.
_base_ = './deeplabv3plus_mobilenetv2-c16_from_mobilenetv2_voc2012_pi.py'

overhaul = {
    name: dict(
        taps=f'decode_head.{layer}.bn',
        inputs=dict(
            norm_weight=dict(side='teacher', type='Parameter', source=f'decode_head.{layer}.bn.weight'),
            norm_bias=dict(side='teacher', type='Parameter', source=f'decode_head.{layer}.bn.bias'),
        ),
        connector=dict(
            type='mmkd.ConvConnector', norm_cfg=dict(type='BN'), init_cfg=dict(type='Kaiming', layer='Conv2d')
        ),
        loss=dict(type='mmkd.OverhaulLoss', loss_weight=0.5),  # the mean over all entries
    )
    for name, layer in (('encoder', 'bottleneck'), ('decoder', 'conv2'))
}
model = dict(distill=dict(_delete_=True, **overhaul))
