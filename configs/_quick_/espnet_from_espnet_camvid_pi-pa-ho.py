# As espnet_from_espnet_camvid_pi-pa.py, and holistic: a critic tells the student's score maps from the teacher's.
_base_ = './espnet_from_espnet_camvid_pi-pa.py'

# on the scores at 1/8 of the size: a critic of the full-size logits would cost more than the student
model = dict(
    type='mmkd.AdversarialDistill',
    holistic=dict(
        discriminator=dict(type='mmkd.HolisticDiscriminator', in_channels=11, preprocess='bn'),
        taps='decode_head.classifier_1',
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
