# Gate: CenterMask with points, from random weights. Expected is what seed 1 scored when the gate was made.
_base_ = '../../projects/reduced_runs/configs/nuclei_points.py'

randomness = dict(seed=1)
gate = dict(metric='coco/segm_mAP', expected=20.1, tolerance=5.0)
