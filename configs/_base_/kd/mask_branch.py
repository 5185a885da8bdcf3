# The mask branch: masks and mask IoUs on the RoIs of the student, as the teacher's head sees them.
mask_branch = dict(
    # 1 as all terms of CenterMask_KD, which leaves the mask branch out; the IoU as in the student's own loss
    centermask=dict(
        taps=dict(student='roi_head.mask_loss', teacher='neck'), loss=dict(type='mmkd.MaskBranchLoss', loss_weight=1.0)
    ),
)
