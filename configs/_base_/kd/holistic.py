# Holistic: a discriminator tells the student's score maps from the teacher's (Liu et al. 2019). A config that takes it:
#     model = dict(type='mmkd.AdversarialDistill', holistic={{_base_.holistic.decode_head}})
#     optim_wrapper = {{_base_.discriminator_optim}}

# discriminator, weights and its optimizer as in the released code and its run script, but for clip_grad
holistic_game = dict(
    discriminator=dict(type='mmkd.HolisticDiscriminator', preprocess='bn'),
    mode='wgan-gp',
    loss_weight=0.1,
    gradient_penalty=10.0,
)
holistic = dict(
    # Segmentation, and the bins of depth. Where the student's map is larger, or has 64 x 64 places and the teacher's
    # 65 x 65, it is brought to the teacher's size; where sizes agree, align does nothing.
    decode_head=dict(taps='decode_head.conv_seg', align='teacher', align_corners=True, **holistic_game),
    # one discriminator judges the class map of each level by itself
    dense_head=dict(taps='bbox_head.conv_cls', levels='all', **holistic_game),
)
# what it adds to optim_wrapper; param_scheduler applies to both optimizers
discriminator_optim = dict(
    constructor='mmkd.DistillOptimWrapperConstructor',
    discriminator=dict(
        optimizer=dict(type='SGD', lr=4e-4, momentum=0.9, weight_decay=5e-4),
        clip_grad=dict(max_norm=1.0),  # without it, WGAN-GP blows up where the teacher's logits are large
    ),
)
