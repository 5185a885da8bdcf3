# Teacher-bounded boxes (Chen et al. 2017): box and centreness losses count more where the student is worse than the
# teacher.
bounded_boxes = dict(
    # CenterMask_KD: 1.5 times the student's own losses in all, of which it has 1 already
    fcos=dict(taps='bbox_head', loss=dict(type='mmkd.TeacherBoundedLoss', loss_weight=0.5)),
)
