# As fcos_mobilenetv2-c32_from_c128_voc2012_pi-pa.py, and holistic: a critic tells the student's class maps from the
# teacher's, on each of the five levels by itself.
_base_ = './fcos_mobilenetv2-c32_from_c128_voc2012_pi-pa.py'

# weights as for segmentation; a critic of a quarter of the width, for a CPU
model = dict(
    type='mmkd.AdversarialDistill',
    holistic=dict(
        discriminator=dict(type='mmkd.HolisticDiscriminator', preprocess='bn', base_channels=16),
        taps='bbox_head.conv_cls',
        levels='all',
        mode='wgan-gp',
        loss_weight=0.1,
        gradient_penalty=10.0,
    ),
)
optim_wrapper = dict(
    constructor='mmkd.DistillOptimWrapperConstructor',
    discriminator=dict(
        optimizer=dict(type='SGD', lr=4e-4, momentum=0.9, weight_decay=5e-4),
        clip_grad=dict(max_norm=1.0),  # without it, WGAN-GP blows up where the teacher's logits are large
    ),
)
