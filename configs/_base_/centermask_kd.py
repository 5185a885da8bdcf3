# What CenterMask_KD distils, term by term, each with the weight it has there (1), and the mask branch, which it leaves
# out. A config of a row picks its terms: distill=dict(cls={{_base_.kd_terms.kl}}, ...).
_base_ = './distill.py'

# C2 to C5 and P7. Student and teacher have equally many channels in the stages; on P7 a connector bridges 128 and 256.
features = ['backbone.stage2', 'backbone.stage3', 'backbone.stage4', 'backbone.stage5', 'neck.fpn_convs.4']
connectors = [None, None, None, None, 'conv1x1']
# The intermediate terms begin when the student has warmed up.
start_iter = 500

kd_terms = dict(
    # softmax over the classes, though the head is trained with a sigmoid, summed over the five levels
    kl=dict(
        taps='bbox_head.conv_cls', reduce='sum', loss=dict(type='mmkd.PixelWiseLoss', mode='kl', activation='softmax')
    ),
    ce=dict(
        taps='bbox_head.conv_cls', reduce='sum', loss=dict(type='mmkd.PixelWiseLoss', mode='ce', activation='softmax')
    ),
    # 1.5 times the box and centerness losses at the locations where the student is worse than the teacher
    bounded=dict(taps='bbox_head', loss=dict(type='mmkd.TeacherBoundedLoss')),
    # the sum over four pairs of features, divided by five
    correlation=dict(
        taps=features,
        connector=connectors,
        start_iter=start_iter,
        loss=dict(type='mmkd.FSPLoss', reduction='sum', loss_weight=0.2),
    ),
    mse=dict(taps=features, connector=connectors, start_iter=start_iter, loss=dict(type='mmkd.FeatureMSELoss')),
    mask=dict(taps=dict(student='roi_head.mask_loss', teacher='neck'), loss=dict(type='mmkd.MaskBranchLoss')),
)
