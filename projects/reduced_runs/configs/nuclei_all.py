# As nuclei_kl.py, with every term of CenterMask-KD and the mask branch: boxes bounded by the teacher, correlation,
# features, masks. The weights are those of centermask_kd, for one class, layers up to stride 16 and some hundred
# iterations.
_base_ = ['./nuclei_kl.py', 'mmkd::_base_/kd/bounded_boxes.py', 'mmkd::_base_/kd/mask_branch.py']

features = dict(
    taps=['backbone.layers.2', 'backbone.layers.3', 'backbone.layers.4', 'neck.fpn_convs.4'],  # strides 4, 8, 16, 64
    connector='conv1x1',
    start_iter=20,
)
model = dict(
    distill=dict(
        bounded={{_base_.bounded_boxes.fcos}},
        # the sum over three pairs of features, divided by four
        correlation=dict(**features, loss=dict(type='mmkd.FSPLoss', reduction='sum', loss_weight=0.25)),
        mse=dict(**features, loss=dict(type='mmkd.FeatureMSELoss', loss_weight=1.0)),
        mask={{_base_.mask_branch.centermask}},
    )
)
