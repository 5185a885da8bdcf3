# As vnl_mobilenetv2_from_x101_nyu_pa.py, and holistic: a critic tells the student's depth bins from the teacher's.
_base_ = './vnl_mobilenetv2_from_x101_nyu_pa.py'

# critic and weights as for segmentation
model = dict(
    type='mmkd.AdversarialDistill',
    holistic=dict(
        discriminator=dict(type='mmkd.HolisticDiscriminator', preprocess='bn'),
        taps='decode_head.conv_seg',
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
