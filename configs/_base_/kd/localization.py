# Localization distillation: the distributions of the box edges at every location (Zheng et al. 2022).
localization = dict(
    # Locations count as the teacher's scores there. 0.25 is the weight of the student's distribution focal loss: the same
    # distributions, taught by the teacher.
    gfl=dict(
        taps=dict(source='bbox_head', data_idx=1),
        inputs=dict(scores_T=dict(side='teacher', source='bbox_head', data_idx=0)),
        loss=dict(type='mmkd.LocalizationDistillationLoss', temperature=10.0, loss_weight=0.25),
    ),
)
