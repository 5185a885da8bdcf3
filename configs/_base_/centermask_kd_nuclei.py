# As centermask_kd.py, for the nuclei: one class, layers up to stride 16, a slim student, and a hundred iterations.
_base_ = './distill.py'

features = ['backbone.layers.2', 'backbone.layers.3', 'backbone.layers.4', 'neck.fpn_convs.4']  # strides 4, 8, 16, 64
start_iter = 20

kd_terms = dict(
    # A softmax over one class is always 1 and teaches nothing.
    kl=dict(taps='bbox_head.conv_cls', loss=dict(type='mmkd.PixelWiseLoss', activation='sigmoid', loss_weight=10.0)),
    bounded=dict(taps='bbox_head', loss=dict(type='mmkd.TeacherBoundedLoss')),
    correlation=dict(
        taps=features,
        connector='conv1x1',
        start_iter=start_iter,
        loss=dict(type='mmkd.FSPLoss', reduction='sum', loss_weight=0.25),
    ),
    mse=dict(taps=features, connector='conv1x1', start_iter=start_iter, loss=dict(type='mmkd.FeatureMSELoss')),
    mask=dict(taps=dict(student='roi_head.mask_loss', teacher='neck'), loss=dict(type='mmkd.MaskBranchLoss')),
)
