# The student with an eighth of the labels: every eighth image of train.
_base_ = 'camvid_lite0.py'

train_dataloader = dict(dataset=dict(indices=list(range(0, 367, 8))))
