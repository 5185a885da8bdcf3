# CenterMask, VoVNetV2-99 with modulated deformable convolutions in stages 3 to 5.
_base_ = './centermask_v99_fpn_ms-3x_coco.py'

model = dict(
    backbone=dict(
        dcn=dict(type='DCNv2', deform_groups=1),
        stage_with_dcn=(False, True, True, True),
    )
)
