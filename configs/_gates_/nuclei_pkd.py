# Gate: does distillation still pay? The student of the demo with its teacher, of the same seed as alone. Expected is what
# seed 1 scored for docs/results/nuclei_demo.md.
_base_ = '../../projects/nuclei_example/configs/centermask-lite_efficientnet-lite0_from_lite2_nuclei_pkd.py'

randomness = dict(seed=1)
gate = dict(metric='coco/segm_mAP', expected=50.5, tolerance=4.0, over='nuclei_alone.py', gain=5.6, gain_tolerance=3.5)
