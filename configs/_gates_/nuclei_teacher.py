# Gate: the teacher of the demo as it comes, tested only. Expected is what docs/results/nuclei_demo.md says.
_base_ = '../../projects/nuclei_example/configs/centermask_efficientnet-lite2_nuclei.py'

load_from = '{{ fileDirname }}/../../projects/nuclei_example/teacher/centermask_efficientnet-lite2_nuclei.pth'
gate = dict(metric='coco/segm_mAP', expected=59.3, tolerance=0.2, train=False)
